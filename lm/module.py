"""The LightningModule: carries and detaches the state, takes the loss, updates the weights, logs."""

from __future__ import annotations

import math
import time
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lm.averaging import WeightAverage
from lm.curves import write_by, write_point
from lm.data.streams import Window
from lm.errors import UserError
from lm.evaluation import Score, perplexity
from lm.forcing import Forcing
from lm.models.base import LanguageModel, State, detach, reset_some
from lm.optim import Optim, scaled_rates
from lm.regularisation import Regularisation
from lm.resume import random_state, restore_random_state

COUNTERS = ("windows", "tokens", "updates", "epochs")
"""How much training there was since the start of the run."""


class LanguageModule(pl.LightningModule):
    """Trains a language model by truncated back-propagation through time; a batch is one window in every mode.

    The state is carried from window to window and detached before each, so that gradients reach back to the window's
    start; `tbptt_windows=k` detaches only before every k-th window and updates once for the k, by the mean of their
    losses. `updates_per_epoch` and `total_updates` are what learning-rate schedules go by. `base_length`: an update's
    rate is in proportion to its windows' length, the schedule's own for this many tokens (None: always that).
    `state_reset`: the probability that a stream's carried state is put to zero before a window. `regularisation` joins
    the loss that is minimised; what is logged stays nats a token.
    """

    def __init__(
        self,
        model: LanguageModel,
        forcing: Forcing,
        optim: Optim,
        updates_per_epoch: int,
        total_updates: int,
        tbptt_windows: int = 1,
        base_length: int | None = None,
        state_reset: float = 0.0,
        regularisation: Regularisation | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.forcing = forcing
        self.optim = optim
        self.average = WeightAverage(model, optim.average)
        self.updates_per_epoch = updates_per_epoch
        self.total_updates = total_updates
        self.tbptt_windows = tbptt_windows
        self.base_length = base_length
        self.state_reset = state_reset
        self.regularisation = regularisation or Regularisation()
        self.windows = 0  # windows trained on since the start of the run: the x-axis of every curve
        self.tokens = 0
        self.updates = 0
        self.epochs = 0
        self.state: State = []
        self.last_loss: Tensor | None = None  # nats a token of the newest window, before its update
        self._pending: list[tuple[Tensor, int]] = []  # losses whose graph still stands, and their windows' lengths
        self._clock = (0.0, 0)  # when the last curve point was written or the epoch began, and at which token
        self._resumed: dict[str, Any] | None = None  # what a checkpoint said, until training goes on
        self._eval_state: State = []
        self._score = Score()
        self.scores: dict[str, Score] = {}  # the newest one of each split

    def configure_optimizers(self) -> Any:
        optimizer = self.optim.optimizer(self.model.parameters())
        schedule = self.optim.schedule.attach(optimizer, self.updates_per_epoch, self.total_updates)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    # Checkpoints: all that Lightning does not save, so that a resumed run is the uninterrupted one, bit for bit

    @property
    def between_updates(self) -> bool:
        """Whether no graph of an earlier window waits for its update: only then can a checkpoint hold everything."""
        return not self._pending

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.average.average:  # it is what a checkpoint is for; the weights behind it are with its state
            with self.average.in_place():
                checkpoint["state_dict"] = {name: part.clone() for name, part in self.state_dict().items()}
        checkpoint["training"] = {
            "average": self.average.state_dict(),
            **{name: getattr(self, name) for name in COUNTERS},
            "state": detach(self.state),
            **random_state(self.device),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = self._resumed = checkpoint["training"]
        for name in COUNTERS:
            setattr(self, name, saved.get(name, 0))

    def on_train_start(self) -> None:
        if self._resumed is not None:
            saved, self._resumed = self._resumed, None
            like = self.model.embedding.weight
            self.state = [tuple(part.to(like) for part in layer) for layer in saved["state"]]
            if "average" in saved:
                self.average.load_state_dict(saved["average"])
            restore_random_state(saved)
        loader: Any = self.trainer.train_dataloader
        loader.epoch = self.epochs  # Lightning restores a loader's own state within an epoch only
        self._clock = (time.perf_counter(), self.tokens)

    def on_train_epoch_end(self) -> None:
        loader: Any = self.trainer.train_dataloader
        loader.rewind()
        self.epochs = loader.epoch

    # Training

    def on_train_epoch_start(self) -> None:
        self._clock = (time.perf_counter(), self.tokens)  # what lies between two epochs is not training time

    def training_step(self, window: Window, batch_idx: int) -> None:
        if window.reset:
            self._pending.clear()
            self.state = self.model.initial_state(len(window.inputs))
        elif self.state_reset > 0:
            self.state = reset_some(self.state, self.state_reset)
        self.model.begin_window()
        before = self.updates
        loss = self._token_updates(window) if self.forcing.update == "token" else self._window_update(window)
        self._record(loss, window, before)

    def _window_update(self, window: Window) -> Tensor:
        if not self._pending:
            self.state = detach(self.state)
        if self.forcing.truth_share(self.windows) == 1:
            raw, self.state = self.model.read(window.inputs, self.state)  # B, T, H
            hidden = self.model.output_dropout(raw)
            loss = self.model.head.nll(hidden, window.targets).mean()
        else:
            losses, hiddens, raws = zip(*self._free_running(window), strict=True)
            loss, hidden, raw = torch.stack(losses).mean(), torch.stack(hiddens, dim=1), torch.stack(raws, dim=1)
        self._pending.append((loss + self.regularisation.penalty(hidden, raw), window.targets.shape[1]))
        if len(self._pending) == self.tbptt_windows or self.trainer.is_last_batch:
            waiting, lengths = zip(*self._pending, strict=True)
            share = sum(lengths) / len(lengths) / self.base_length if self.base_length else 1.0
            self._update(torch.stack(waiting).mean(), share)
            self._pending.clear()
        return loss.detach()

    def _token_updates(self, window: Window) -> Tensor:
        self.state = detach(self.state)
        losses = []
        for loss, *_ in self._free_running(window):
            self._update(loss)
            self.state = detach(self.state)
            losses.append(loss.detach())
        return torch.stack(losses).mean()

    def _free_running(self, window: Window) -> Any:
        """Yield the loss of each token in turn, and the output [B, H] behind and before dropout that it comes from.

        What is read next is chosen before the caller updates the weights.
        """
        word, share = window.inputs[:, 0], self.forcing.truth_share(self.windows)  # B
        for t in range(window.inputs.shape[1]):
            raw, self.state = self.model.read_one(word, self.state)
            hidden = self.model.output_dropout(raw)
            logits = self.model.head.logits(hidden).float()  # B, V
            if t + 1 < window.inputs.shape[1]:
                word = self.forcing.next_input(logits, window.inputs[:, t + 1], share)
            yield F.cross_entropy(logits, window.targets[:, t]), hidden, raw

    def _update(self, loss: Tensor, share: float = 1.0) -> None:
        """One optimiser step, in the order of the classic loop: zero, backward, clip, step; then the schedule.

        `share`: of the schedule's rate, for this step.
        """
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        if self.optim.clip > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.optim.clip)
        with scaled_rates(optimizer, share):
            optimizer.step()
        self.average.update()
        schedule: Any = self.lr_schedulers()
        if not isinstance(schedule, ReduceLROnPlateau):
            schedule.step()
        self.updates += 1

    def _record(self, loss: Tensor, window: Window, updates_before: int) -> None:
        """Keep the newest loss; write a point of the curves at windows 0, n, 2n, ..."""
        self.last_loss = loss
        trainer: Any = self.trainer
        due = self.windows % trainer.log_every_n_steps == 0
        # Reading a value makes a GPU wait: there only where it is written anyway. On a CPU it costs nothing.
        if due or loss.device.type == "cpu":
            nats = self.refuse_non_finite()
        if due:
            now = time.perf_counter()
            optimizer: Any = self.optimizers()
            scalars = {"train/loss": nats, "train/perplexity": perplexity(nats)}
            scalars["train/lr"] = float(optimizer.param_groups[0]["lr"])
            scalars["train/truth_share"] = self.forcing.truth_share(self.windows)
            read = self.tokens + window.targets.numel()
            scalars["train/tokens_per_second"] = (read - self._clock[1]) / (now - self._clock[0])
            self._clock = (now, read)
            write_point(self.loggers, self.windows, scalars)
            write_by(self.loggers, "train/loss", nats, self.tokens, updates_before)
        self.windows += 1
        self.tokens += window.targets.numel()

    def refuse_non_finite(self) -> float:
        """The newest loss in nats a token. Raises UserError if it is no number: nothing good can follow."""
        nats = math.nan if self.last_loss is None else float(self.last_loss)
        if self.last_loss is not None and not math.isfinite(nats):
            raise UserError(
                f"the training loss became {nats} at window {self.windows} (epoch {self.current_epoch + 1}); "
                "lower optim.lr or optim.clip. The last checkpoint is from before"
            )
        return nats

    # Validation and test: the same reading of one unbroken stream, with a state of its own

    def on_validation_start(self) -> None:
        self.average.swap()

    def on_validation_end(self) -> None:  # behind the callbacks, which see the weights that were validated
        self.average.swap()
        self.average.validated(self.scores["valid"].nats_per_token)

    def on_train_end(self) -> None:
        self.average.swap()

    def on_validation_epoch_start(self) -> None:
        self._score = Score()

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, window: Window, batch_idx: int) -> None:
        if window.reset:
            self._eval_state = self.model.initial_state(len(window.inputs))
        hidden, self._eval_state = self.model(window.inputs, self._eval_state)
        self._score += self.model.head.nll(hidden, window.targets)

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._report("valid")
        write_by(self.loggers, "valid/perplexity", self._score.perplexity, self.tokens, self.updates)
        schedule: Any = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(self._score.nats_per_token)

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def _report(self, split: str) -> None:
        score = self.scores[split] = self._score
        if not math.isfinite(score.perplexity):
            raise UserError(
                f"the {split} loss became {score.nats_per_token:.4g} nats a token after window {self.windows}: "
                "training diverged; lower optim.lr or optim.clip"
            )
        metrics = {f"{split}/loss": score.nats_per_token, f"{split}/perplexity": score.perplexity}
        write_point(self.loggers, self.windows, metrics)
        self.log_dict(metrics, logger=False)  # for callbacks that watch a figure
