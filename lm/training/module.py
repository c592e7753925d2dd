"""The LightningModule of training: it carries and detaches the state, computes losses, updates the weights, logs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lm.config.schemas import Regularisation
from lm.data.streams import Window, true_where
from lm.evaluation import perplexity
from lm.models.interfaces import LanguageModel, State, detach
from lm.models.kernels.full_precision import uncached
from lm.runs.checkpoint import restore_counters, restore_training, save_training
from lm.runs.random_state import differing_random_state
from lm.system.ranks import ALONE, Ranks
from lm.training.curves import Moment, write_point
from lm.training.forcing.forcing import Forcing
from lm.training.optim.averages import WeightAverage
from lm.training.optim.gradient_clipping import Clipping
from lm.training.optim.optimisers import Optim, scaled_rates
from lm.training.optim.schedules import Plan, set_rates
from lm.training.recorded_windows import RecordedWindows, recordable
from lm.training.regularisation import penalty
from lm.training.validation_loop import Validated


class LanguageModule(Validated):
    """Trains a language model by truncated back-propagation through time; a batch is one window in every mode.

    The state is carried from window to window and detached before each, so gradients reach back to the window's start.

    Args:
        model: the model to train.
        forcing: what the model reads, and how often the weights are updated.
        optim: optimiser, learning-rate schedule, clipping, average of weights.
        updates_per_epoch: number of weight updates in an epoch, for learning-rate schedules.
        epochs: number of epochs in the whole run, for learning-rate schedules.
        tbptt_windows: k: the state is detached and weights are updated once per k windows, by the windows' mean loss.
        base_length: the learning rate of an update is multiplied by mean window length / `base_length` (None: by 1).
        state_reset: probability that a stream's carried state is set to its first value before a window.
        regularisation: terms added to the minimised loss; the logged loss remains nats per token.
        unk: id of `<unk>`, so that scores count unknown tokens.
        ranks: the processes that share the batch; an update, and every figure, is that of the whole batch.
    """

    def __init__(
        self,
        model: LanguageModel,
        forcing: Forcing,
        optim: Optim,
        updates_per_epoch: int,
        epochs: int,
        tbptt_windows: int = 1,
        base_length: int | None = None,
        state_reset: float = 0.0,
        regularisation: Regularisation | None = None,
        *,
        unk: int,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__(unk, ranks)
        self.automatic_optimization = False
        self.model = model
        self.forcing = forcing
        self.optim = optim
        self.average = WeightAverage(model, optim.average)
        self.clipping = Clipping(optim.clip)
        self.plan = Plan(updates_per_epoch, epochs)
        self.tbptt_windows = tbptt_windows
        self.base_length = base_length
        self.state_reset = state_reset
        self.regularisation = regularisation or Regularisation()
        self.state: State = []
        self._pending: list[tuple[Tensor, int]] = []  # losses that still have a graph, and their windows' lengths
        self.rate = optim.lr  # of the latest update
        self._recorded: RecordedWindows | None = None  # made when training starts on a GPU
        self._point = (0.0, 0)  # seconds and tokens at the last curve point
        self._resumed: dict[str, Any] | None = None  # from a checkpoint, until training resumes

    def configure_optimizers(self) -> Any:
        optimizer = self.optim.optimizer(self.model.parameters())
        done = {"done": self.updates, "epochs_done": self.epochs, "in_epoch": self.epoch_updates}
        self.plan = replace(self.plan, **done)  # a checkpoint has been read by now
        schedule = self.optim.schedule.attach(optimizer, self.plan)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    # Checkpoints: all that Lightning does not save, so that a resumed run equals the uninterrupted one, bit for bit

    @property
    def between_updates(self) -> bool:
        """Whether no window waits for a weight update. Only then may a checkpoint be saved: it cannot hold a graph."""
        return not self._pending

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        save_training(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._resumed = checkpoint["training"]
        restore_counters(self, checkpoint)
        self.note_start()

    def on_train_start(self) -> None:
        if self._resumed is not None:
            restore_training(self, self._resumed, exact=self.trainer.precision == "32-true")
            self._resumed = None
            set_rates(self.lr_schedulers())
        else:
            differing_random_state(self.ranks)
        loader: Any = self.trainer.train_dataloader
        loader.epoch = self.epochs  # Lightning restores a loader's own state within an epoch only
        self.leave_out_time()
        self._point = (self.seconds, self.tokens)
        self.note_start()
        if self.device.type == "cuda" and self.tbptt_windows == 1 and recordable(self.model):
            self._recorded = RecordedWindows(self.model, self._true_words)

    def on_train_epoch_end(self) -> None:
        loader: Any = self.trainer.train_dataloader
        loader.rewind()
        self.epochs, self.epoch_updates = loader.epoch, 0

    def on_train_end(self) -> None:
        self._recorded = None
        self.average.swap()

    # Training

    def on_train_epoch_start(self) -> None:
        self._pending.clear()
        self.leave_out_time()  # between two epochs

    def training_step(self, window: Window, batch_idx: int) -> None:
        if self.state_reset > 0 and not window.reset[:, 0].all():
            self.state = self.model.reset_some(self.state, self.state_reset)
        self.model.begin_window()
        before = self.updates
        loss = self._token_updates(window) if self.forcing.update == "token" else self._window_update(window)
        self._record(self.ranks.mean(loss), window, before)

    def _window_update(self, window: Window) -> Tensor:
        true, length = self.forcing.truth_share(self.windows) == 1, window.targets.shape[1]
        if true and self._recorded is not None and not window.reset[:, 1:].any():
            loss, self.state = self._recorded.run(window, self.model.renewed(self.state, window.reset[:, 0]))
            self._step(self._share(length))
            return loss
        if true:
            loss, minimised, self.state = self._true_words(window, self.state)
        else:
            losses, hiddens, raws = zip(*self._free_running(window), strict=True)
            loss = torch.stack(losses).mean()
            minimised = loss + penalty(self.regularisation, torch.stack(hiddens, dim=1), torch.stack(raws, dim=1))
        self._pending.append((minimised, length))
        if len(self._pending) == self.tbptt_windows or self.trainer.is_last_batch:
            waiting, lengths = zip(*self._pending, strict=True)
            self._update(torch.stack(waiting).mean(), self._share(*lengths))
            self._pending.clear()
            self.state = detach(self.state)  # now, so that the graph can be freed
        return loss.detach()

    def _true_words(self, window: Window, state: State) -> tuple[Tensor, Tensor, State]:
        """Read true words: the loss in nats per token, the loss to minimise, and the state after the window."""
        raw, state = self.model.read_window(window.inputs, state, window.reset)  # B, T, H
        hidden = self.model.output_dropout(raw)
        loss = self.model.head.nll(hidden, window.targets).mean()
        return loss, loss + penalty(self.regularisation, hidden, raw), state

    def _share(self, *lengths: int) -> float:
        """The share of the learning rate in an update by windows of these lengths."""
        return sum(lengths) / len(lengths) / self.base_length if self.base_length else 1.0

    def _token_updates(self, window: Window) -> Tensor:
        losses = []
        for loss, *_ in self._free_running(window):
            self._update(loss)
            self.state = detach(self.state)
            losses.append(loss.detach())
        return torch.stack(losses).mean()

    def _free_running(self, window: Window) -> Any:
        """Yield, for each token of a window, its loss and the model's output [B, H] after and before dropout.

        The next word to read is chosen before the caller updates the weights. Where a document begins it is the true
        one.
        """
        word, share = window.inputs[:, 0], self.forcing.truth_share(self.windows)  # B
        with uncached(self.device.type):
            for t in range(window.inputs.shape[1]):
                self.state = self.model.renewed(self.state, window.reset[:, t])
                raw, self.state = self.model.read_one(word, self.state)
                hidden = self.model.output_dropout(raw)
                logits = self.model.head.logits(hidden).float()  # B, V
                if t + 1 < window.inputs.shape[1]:
                    word = self.forcing.next_input(logits, window.inputs[:, t + 1], share)
                    word = true_where(window.reset[:, t + 1], window.inputs[:, t + 1], word)
                yield F.cross_entropy(logits, window.targets[:, t]), hidden, raw

    def _update(self, loss: Tensor, share: float = 1.0) -> None:
        """One weight update: zero gradients, backward, then `_step`."""
        self.model.zero_grad()
        # Without autocast, which would also cast gradients of the operations that stay in fp32.
        with torch.autocast(self.device.type, enabled=False):
            self.manual_backward(loss)
        self._step(share)

    def _step(self, share: float) -> None:
        """Clip the gradients, change the weights by the learning rate times `share`, and go on in its schedule."""
        optimizer: Any = self.optimizers()
        self.ranks.average_gradients(self.model.parameters())
        self.clipping.clip(self.model.parameters())
        with scaled_rates(optimizer, share):
            self.rate = float(optimizer.param_groups[0]["lr"])
            optimizer.step()
        self.average.update()
        schedule: Any = self.lr_schedulers()
        if not isinstance(schedule, ReduceLROnPlateau):
            schedule.step()
        self.updates += 1
        self.epoch_updates += 1

    def _record(self, loss: Tensor, window: Window, updates_before: int) -> None:
        """Keep the latest loss and update the counters; at every n-th window, write a point of the training curves."""
        self.last_loss, tokens = loss, window.targets.numel() * self.ranks.size
        trainer: Any = self.trainer
        due = self.windows % trainer.log_every_n_steps == 0
        # Reading the loss makes a GPU wait, so a GPU's is read only when it is written. On a CPU it costs nothing.
        if due or loss.device.type == "cpu":
            nats = self.refuse_non_finite()
        if trainer.is_last_batch and loss.device.type == "cuda":
            torch.cuda.synchronize(loss.device)  # once per epoch, so that `seconds` includes the GPU's work
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now
        if due:
            scalars = {"train/loss": nats, "train/perplexity": perplexity(nats), "train/lr": self.rate}
            scalars["train/truth_share"] = self.forcing.truth_share(self.windows)
            read = self.tokens + tokens
            scalars["train/tokens_per_second"] = (read - self._point[1]) / (self.seconds - self._point[0])
            scalars["train/seconds"] = self.seconds
            self._point = (self.seconds, read)
            scalars |= self.clipping.figures()
            write_point(self.loggers, Moment(self.windows, self.tokens, updates_before, self.seconds), scalars)
        self.windows, self.tokens = self.windows + 1, self.tokens + tokens
