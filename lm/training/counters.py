"""Counters of a run's training, its training speed, and its latest loss."""

from __future__ import annotations

import math
import time

import pytorch_lightning as pl
from torch import Tensor

from lm.system.errors import UserError


class Counted(pl.LightningModule):
    """Counts windows, tokens, updates, epochs and seconds since the start of the run, also before a resume."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = 0  # trained on: the x-axis of every curve
        self.tokens = 0
        self.updates = 0
        self.epochs = 0
        self.epoch_updates = 0  # since the start of the epoch
        self.seconds = 0.0  # of training, without validation and the time between starts
        self.last_loss: Tensor | None = None  # nats per token of the latest window, before its update
        self._since = 0.0  # the time up to which `seconds` has counted
        self._start = (0.0, 0, 0)  # seconds, windows and tokens when this start of the run began to train

    def note_start(self) -> None:
        """Note that training begins now, or resumes; speeds are measured from this moment."""
        self._start = (self.seconds, self.windows, self.tokens)

    def leave_out_time(self) -> None:
        """Do not count the time since the last window as training."""
        self._since = time.perf_counter()

    @property
    def windows_per_second(self) -> float | None:
        """Windows per second since training began or resumed, without validation; None before the first window."""
        return self._per_second(self.windows, self._start[1])

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens per second since training began or resumed, without validation; None before the first window."""
        return self._per_second(self.tokens, self._start[2])

    def _per_second(self, now: int, before: int) -> float | None:
        return (now - before) / (self.seconds - self._start[0]) if now > before else None

    def refuse_non_finite(self) -> float:
        """The latest loss in nats per token. Raises UserError if it is not finite, because training has diverged."""
        nats = math.nan if self.last_loss is None else float(self.last_loss)
        if self.last_loss is not None and not math.isfinite(nats):
            if self.windows == 0 and self.updates <= 1:
                raise UserError(f"the loss is {nats} before the first update: the initial weights are too large")
            raise UserError(
                f"the training loss became {nats} at window {self.windows} (epoch {self.current_epoch + 1}); "
                "lower optim.lr or optim.clip. The last checkpoint was saved before that"
            )
        return nats
