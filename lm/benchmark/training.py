"""One training step, four ways: the plain loop, this project through Lightning, without it, and bare products."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lm.benchmark.plain import PlainModel, PlainTraining
from lm.benchmark.sizes import Sizes
from lm.callbacks.checkpoint import Checkpoint
from lm.callbacks.progress import Progress
from lm.data.streams import Windows
from lm.data.vocab import EOS, UNK, Vocab
from lm.forcing import Forcing
from lm.interrupt import StopRequest
from lm.models.base import detach
from lm.module import LanguageModule
from lm.optim import Adam

WARM_UP = 2  # windows of each call that are not counted: the optimiser's memory, threads


class PlainRival:
    """The exercise's loop. Calls return seconds a window."""

    def __init__(self, sizes: Sizes, count: int) -> None:
        model = PlainModel(sizes.vocab_size, sizes.embedding_size, sizes.hidden_size, sizes.num_layers)
        self.training = PlainTraining(model, sizes.batch_size)
        self.windows = list(sizes.windows(WARM_UP + count))

    def __call__(self) -> float:
        return timed_windows(self.windows, lambda window: self.training.step(window.inputs, window.targets))


class StepRival:
    """This project's model, optimiser and clipping in a bare loop."""

    def __init__(self, sizes: Sizes, count: int, precision: str) -> None:
        self.model, self.windows = sizes.model(), list(sizes.windows(WARM_UP + count))
        self.optim = Adam(lr=0.002)
        self.optimizer = self.optim.optimizer(self.model.parameters())
        self.state = self.model.initial_state(sizes.batch_size)
        self.bf16 = precision.startswith("bf16")

    def step(self, window: Any) -> None:
        self.state = detach(self.state)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            hidden, self.state = self.model(window.inputs, self.state)
            loss = self.model.head.nll(hidden, window.targets).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.optim.clip)
        self.optimizer.step()

    def __call__(self) -> float:
        return timed_windows(self.windows, self.step)


class LightningRival:
    """The path that `train.py` takes, with curves, progress and checkpoints; the latter's time is shared out evenly."""

    def __init__(self, sizes: Sizes, count: int, precision: str, folder: Path) -> None:
        self.sizes, self.count, self.precision, self.folder = sizes, count, precision, folder
        optim = Adam(lr=0.002)
        self.module = LanguageModule(sizes.model(), Forcing(), optim, updates_per_epoch=1000, total_updates=1000)
        self.vocab = Vocab([EOS, UNK, *(str(i) for i in range(2, sizes.vocab_size))])

    def __call__(self) -> float:
        data = _Data(self.sizes, WARM_UP + self.count)
        clock, checkpoint = _Clock(), Checkpoint(str(self.folder), self.vocab, {}, StopRequest())
        logger = pl.loggers.TensorBoardLogger(str(self.folder), name="", version="", default_hp_metric=False)
        trainer = pl.Trainer(
            max_epochs=1, limit_val_batches=0, accelerator="cpu", devices=1, precision=self.precision,  # type: ignore[arg-type]
            logger=logger, callbacks=[Progress(), checkpoint, clock], enable_progress_bar=False,
            enable_model_summary=False, log_every_n_steps=100, num_sanity_val_steps=0,
        )  # fmt: skip
        with contextlib.redirect_stderr(io.StringIO()):  # what `Progress` says is for a person
            trainer.fit(self.module, datamodule=data)
        start = time.perf_counter()
        checkpoint._save(trainer, "timed.ckpt")
        saving = (time.perf_counter() - start) / checkpoint.every_n_windows
        return clock.seconds / self.count + saving


class FloorRival:
    """Only the matrix products of the step, each into memory that is there already."""

    def __init__(self, sizes: Sizes, count: int, dtype: torch.dtype) -> None:
        b, t, h, v = sizes.batch_size, sizes.window, sizes.hidden_size, sizes.vocab_size
        self.count, self.dtype = count, dtype
        self.products: list[tuple[Tensor, Tensor, Tensor, int]] = []
        for layer in range(sizes.num_layers):
            into = sizes.embedding_size if layer == 0 else h
            self._add(t * b, into, 4 * h)  # input projections
            self._add(b, h, 4 * h, times=t)  # the recurrence
            self._add(b, 4 * h, h, times=t)  # its gradient, step by step
            self._add(4 * h, t * b, h)  # gradients of both matrices and of the input
            self._add(4 * h, t * b, into)
            self._add(t * b, 4 * h, into)
        self._add(t * b, h, v)  # logits, and the gradients of matrix and input
        self._add(v, t * b, h)
        self._add(t * b, v, h)

    def _add(self, rows: int, inner: int, columns: int, times: int = 1) -> None:
        a, b = torch.randn(rows, inner, dtype=self.dtype), torch.randn(inner, columns, dtype=self.dtype)
        self.products.append((a, b, torch.empty(rows, columns, dtype=self.dtype), times))

    def __call__(self) -> float:
        start = time.perf_counter()
        for _ in range(self.count):
            for a, b, out, times in self.products:
                for _ in range(times):
                    torch.mm(a, b, out=out)
        return (time.perf_counter() - start) / self.count


class _Data(pl.LightningDataModule):
    def __init__(self, sizes: Sizes, count: int) -> None:
        super().__init__()
        self.windows = sizes.windows(count)
        self.tokens_per_window = sizes.batch_size * sizes.window

    def train_dataloader(self) -> Windows:
        return self.windows


class _Clock(pl.Callback):
    """Seconds from the first counted window's start to the last one's end. Stands last among the callbacks."""

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == WARM_UP:
            self.start = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.seconds = time.perf_counter() - getattr(self, "start", time.perf_counter())


def timed_windows(windows: list[Any], step: Callable[[Any], None]) -> float:
    """Seconds a window, the first ones not counted."""
    for window in windows[:WARM_UP]:
        step(window)
    start = time.perf_counter()
    for window in windows[WARM_UP:]:
        step(window)
    return (time.perf_counter() - start) / (len(windows) - WARM_UP)
