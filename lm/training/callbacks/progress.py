"""Progress messages during training: position, perplexity, speed, time left."""

from __future__ import annotations

import sys
import time
from collections import deque
from datetime import timedelta
from typing import Any, NamedTuple

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer, TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from lm.config.schemas import FreeRunningTest
from lm.data.unknown_tokens import counted
from lm.evaluation import perplexity
from lm.system.terminal import say
from lm.training.forecast import forecast

RECENT = 60.0
"""Seconds of training from which the present speed is computed."""


class _Mark(NamedTuple):
    """A moment of training: seconds of training, windows and tokens until then."""

    seconds: float
    windows: int
    tokens: int


class Progress(pl.Callback):
    """Prints how much training is left, the expected time of the whole run, and the progress.

    On a terminal, `Bar` shows the progress; otherwise a line is printed every `line_seconds` seconds. Speed and time
    left follow from the last minute of training. `config` is the run's: it says whether free running is measured.
    """

    def __init__(self, line_seconds: float = 30.0, config: dict[str, Any] | None = None) -> None:
        self.line_seconds = line_seconds
        self.free_running = (config or {}).get("free_running")
        self._said = 0.0
        self._first = 0  # windows trained before this start
        self._marks: deque[_Mark] = deque()  # one a second; the first is a minute old, or the start of training
        self._forecast_due = True

    def on_train_start(self, trainer: Any, module: Any) -> None:
        windows, epochs = int(trainer.num_training_batches), trainer.max_epochs or 0
        ahead = self._ahead(trainer, module)
        updates = module.plan.total - module.updates
        limit = _time_limit(trainer)
        say(
            f"training to the end of epoch {epochs} ({windows:,} windows each): "
            f"{ahead:,} windows left"
            + ("" if updates == ahead else f", {updates:,} optimiser steps")
            + ("" if limit is None else f", fewer if trainer.max_time ends training first, in {clock(limit)}")
        )
        self._said = time.monotonic()
        self._first = int(module.windows)
        self._marks = deque([_mark(module)])

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        # The first windows are slow (allocation, threads): wait for at least five of them, and for a second.
        done = module.windows - self._first
        if self._forecast_due and done >= 5 and done >= (module.windows_per_second or 0):
            self._forecast_due = False
            say(f"expected time: {self._expected(trainer, module)} (from the first {done} windows)")
            module.leave_out_time()
        self._note(module)
        if not sys.stderr.isatty() and time.monotonic() - self._said >= self.line_seconds:
            self._said = time.monotonic()
            figures = ", ".join(f"{name} {value}" for name, value in self.figures(trainer, module).items())
            epoch, windows = trainer.current_epoch + 1, int(trainer.num_training_batches)
            say(f"epoch {epoch}/{trainer.max_epochs}, window {trainer.fit_loop.batch_idx + 1:,}/{windows:,}: {figures}")

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        score = module.scores["valid"]
        over = counted(score.tokens, score.unknown)
        say(f"epoch {trainer.current_epoch + 1}: valid perplexity {score.perplexity:.2f} over {over}")
        words = int(module.model.vocab_size)
        if score.perplexity > words:
            say(
                f"warning: that is worse than a uniform guess among {words:,} words. If training perplexity is much "
                "lower, the model has memorised the training text, or its state has reached values that did not occur "
                "in training: try tbptt.reset=0.01"
            )

    def figures(self, trainer: Any, module: Any) -> dict[str, str]:
        """Loss, perplexity, tokens per second, time left, as text. Call rarely: reading the loss makes a GPU wait."""
        nats = float(module.last_loss) if module.last_loss is not None else float("nan")
        windows, tokens = self._speed(module)
        return {
            "loss": f"{nats:.3f}",
            "perplexity": f"{perplexity(nats):.1f}",
            "tokens/s": f"{tokens:,.0f}",
            "left": clock(self._seconds_left(trainer, module, windows)),
        }

    def _ahead(self, trainer: Any, module: Any) -> int:
        """Windows left. Updates are what the plan counts; limits may have changed, so windows in all say nothing."""
        updates: int = module.plan.total - module.updates
        per_epoch: int = module.plan.per_epoch
        return max(0, round(updates * int(trainer.num_training_batches) / per_epoch))

    def _expected(self, trainer: Any, module: Any) -> str:
        """The time that the rest of the run takes, and its parts; without the texts at hand, training alone."""
        training = self._seconds_left(trainer, module, module.windows_per_second)
        corpus = getattr(trainer.datamodule, "corpus", None)
        if corpus is None:
            return f"{clock(training)}, without validation"
        free = FreeRunningTest(**self.free_running) if self.free_running else None
        expected = forecast(module.model, corpus, trainer, free)
        every = trainer.check_val_every_n_epoch
        validation = expected.validation * (trainer.max_epochs // every - trainer.current_epoch // every)
        limit = _time_limit(trainer)
        fitting = training + validation if limit is None else min(training + validation, limit)
        scoring = fitting - min(fitting, training) + expected.at_the_end
        return f"{clock(fitting + expected.at_the_end)}, of which {clock(scoring)} for validation and test"

    def _note(self, module: Any) -> None:
        """Note the present moment, at most once a second, and drop the moments that are no longer needed."""
        now = _mark(module)
        if now.seconds - self._marks[-1].seconds >= 1:
            self._marks.append(now)
        while len(self._marks) > 1 and now.seconds - self._marks[1].seconds >= RECENT:
            self._marks.popleft()

    def _speed(self, module: Any) -> tuple[float, float]:
        """Windows and tokens per second in the last minute of training; 0 before the first window."""
        first, now = self._marks[0], _mark(module)
        seconds = now.seconds - first.seconds
        if not seconds:
            return 0.0, 0.0
        return (now.windows - first.windows) / seconds, (now.tokens - first.tokens) / seconds

    def _seconds_left(self, trainer: Any, module: Any, rate: float | None) -> float:
        left = self._ahead(trainer, module) / rate if rate else 0.0
        limit = _time_limit(trainer)
        return left if limit is None else min(left, limit)


class Bar(TQDMProgressBar):
    """Lightning's progress bar, showing loss, perplexity, tokens per second and time left."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._figures: dict[str, str] = {}
        self._read = 0.0

    def init_train_tqdm(self) -> Tqdm:
        bar = super().init_train_tqdm()
        bar.bar_format = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"  # speed and time left are in figures
        return bar

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")

    def init_validation_tqdm(self) -> Tqdm:
        bar = super().init_validation_tqdm()
        bar.leave = False
        return bar

    def get_metrics(self, trainer: Any, module: Any) -> dict[str, Any]:
        # Called for each window, but reading the loss makes a GPU wait: update twice a second.
        if time.monotonic() - self._read > 0.5:
            self._figures, self._read = self._progress.figures(trainer, module), time.monotonic()
        return dict(self._figures)


def _mark(module: Any) -> _Mark:
    return _Mark(float(module.seconds), int(module.windows), int(module.tokens))


def _time_limit(trainer: Any) -> float | None:
    """Seconds until `trainer.max_time` ends training, including validation; None if there is no time limit."""
    timers = (callback for callback in trainer.callbacks if isinstance(callback, Timer))
    left = [timer.time_remaining() for timer in timers]
    return min((max(0.0, seconds) for seconds in left if seconds is not None), default=None)


def clock(seconds: float) -> str:
    """Write a number of seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
