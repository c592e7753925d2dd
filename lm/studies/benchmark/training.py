"""Training steps to compare: the plain loop, and this project's with and without Lightning."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from lm.data.streams import Window, Windows
from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.models.cells.lstm import choose_recurrence
from lm.models.interfaces import LanguageModel
from lm.runs.checkpoint import Description
from lm.studies.benchmark.plain import PlainModel, PlainTraining
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.step import BareStep
from lm.studies.benchmark.timing import seconds, wait
from lm.system.memory import keep_freed_memory
from lm.system.precision import allow_tf32
from lm.system.ranks import ALONE, Ranks
from lm.system.signals import StopRequest
from lm.training.callbacks.progress import Progress
from lm.training.callbacks.save_checkpoints import Checkpoint
from lm.training.curve_file import TAGS, CurveFile
from lm.training.curves import Moment, write_point
from lm.training.forcing.forcing import Forcing
from lm.training.module import LanguageModule
from lm.training.optim.optimisers import Adam

WARM_UP = 2  # uncounted first windows of each call: the optimiser's memory and threads start there
LOG_EVERY = 100  # windows between two points of the curves, as in the baseline


class PlainRival:
    """The training loops of the classic exercise. A call returns seconds per window.

    Args:
        sizes: the sizes of the model and its windows.
        count: number of timed windows per call.
        loop: the loop, by its update: PlainTraining, or without teacher forcing PlainFreeRunning, PlainTokenTraining.
        device: the device's name in torch.
        recurrent: torch's LSTM, GRU or RNN.
    """

    def __init__(
        self,
        sizes: Sizes,
        count: int,
        loop: type[PlainTraining] = PlainTraining,
        device: str = "cpu",
        recurrent: Callable[..., nn.RNNBase] = nn.LSTM,
    ) -> None:
        numbers = (sizes.vocab_size, sizes.embedding_size, sizes.hidden_size, sizes.num_layers)
        model = PlainModel(*numbers, recurrent).to(device)
        self.device = device
        self.training = loop(model, sizes.batch_size)
        self.windows = list(sizes.windows(WARM_UP + count))

    def __call__(self) -> float:
        allow_tf32(True)  # the exercise keeps torch's default

        def step(window: Window) -> None:
            self.training.step(window.inputs.to(self.device), window.targets.to(self.device))

        return timed_windows(self.windows, step, self.device)


class StepRival:
    """Training with this project's model, optimiser and clipping in a bare loop, without Lightning.

    `model` None means the LSTM of these sizes. `recurrence` is `accelerator.recurrence`. `ranks` are the processes that
    share the batch.
    """

    def __init__(
        self,
        sizes: Sizes,
        count: int,
        precision: str,
        model: LanguageModel | None = None,
        recurrence: str = "auto",
        ranks: Ranks = ALONE,
    ) -> None:
        keep_freed_memory()
        self.model = sizes.model() if model is None else model
        choose_recurrence(self.model, recurrence)
        self.windows = list(sizes.windows(WARM_UP + count))
        self.training = BareStep(self.model, bf16=precision.startswith("bf16"), ranks=ranks)
        self.state = self.model.initial_state(sizes.batch_size)

    def step(self, window: Window) -> None:
        self.state = self.training.update([window], self.state)

    def __call__(self) -> float:
        return timed_windows(self.windows, self.step)


class LightningRival:
    """Trains as `train.py` does, with progress bar, curves and checkpoints; a call returns seconds per window.

    The time of writing a checkpoint or a curve's point is spread evenly over all windows.

    Args:
        sizes: the sizes of the model and its windows.
        count: number of timed windows per call.
        precision: the precision, as Lightning names it.
        folder: the folder for curves and checkpoints.
        forcing: the way of feeding words back; None means teacher forcing.
        device: the device's name in torch.
    """

    def __init__(
        self,
        sizes: Sizes,
        count: int,
        precision: str,
        folder: Path,
        forcing: Forcing | None = None,
        device: str = "cpu",
    ) -> None:
        quiet()
        keep_freed_memory()
        self.device = device
        self.sizes, self.count, self.precision, self.folder = sizes, count, precision, folder
        forcing, optim = forcing or Forcing(), Adam(lr=0.002)
        self.module = LanguageModule(sizes.model(), forcing, optim, updates_per_epoch=1000, epochs=1, unk=0)
        vocab = Vocab([EOS, UNK, *(str(i) for i in range(2, sizes.vocab_size))])
        self.about = Description(vocab, config={}, tokens={}, provenance={})

    def __call__(self) -> float:
        allow_tf32(self.precision != "32-true")
        data = _Data(self.sizes, WARM_UP + self.count, self.device)
        clock, checkpoint = _Clock(self.device), Checkpoint(str(self.folder), self.about, StopRequest())
        logger = pl.loggers.TensorBoardLogger(str(self.folder), name="", version="", default_hp_metric=False)
        trainer = pl.Trainer(
            accelerator="gpu" if self.device == "cuda" else "cpu",
            devices=1, precision=self.precision, max_epochs=1, limit_val_batches=0,  # type: ignore[arg-type]
            logger=[logger, CurveFile(str(self.folder))], callbacks=[Progress(), checkpoint, clock],
            enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=LOG_EVERY, num_sanity_val_steps=0,
        )  # fmt: skip
        with contextlib.redirect_stderr(io.StringIO()):  # hides the output of `Progress`
            trainer.fit(self.module, datamodule=data)
        module, every = self.module, checkpoint.every_n_windows
        saving = seconds(lambda: checkpoint._save(trainer, "timed.ckpt")) / every
        scalars = dict.fromkeys((*TAGS[:6], "train/truth_share", "train/seconds"), 1.0)
        at = Moment(module.windows, module.tokens, module.updates, module.seconds)
        point = seconds(lambda: write_point(trainer.loggers, at, scalars))
        return clock.seconds / self.count + saving + point / LOG_EVERY


class _Data(pl.LightningDataModule):
    def __init__(self, sizes: Sizes, count: int, device: str) -> None:
        super().__init__()
        self.windows = sizes.windows(count)
        if device == "cuda":
            self.windows.put_on(torch.device(device))

    def train_dataloader(self) -> Windows:
        return self.windows


class _Clock(pl.Callback):
    """Measures seconds from the start of the first timed window to the end of the last. Must be the last callback."""

    def __init__(self, device: str) -> None:
        self.device, self.start = device, 0.0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == WARM_UP:
            wait(self.device)
            self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.is_last_batch:
            wait(self.device)
            self.seconds = time.perf_counter() - self.start


def quiet() -> None:
    """Hide Lightning's messages and warnings."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


def timed_windows(windows: list[Any], step: Callable[[Any], None], device: str = "cpu") -> float:
    """Call `step` on each window; returns seconds per window, without the first `WARM_UP` windows."""
    for window in windows[:WARM_UP]:
        step(window)
    wait(device)
    start = time.perf_counter()
    for window in windows[WARM_UP:]:
        step(window)
    wait(device)
    return (time.perf_counter() - start) / (len(windows) - WARM_UP)
