"""Counters of a run's training, and its training speed."""

from __future__ import annotations

import pytorch_lightning as pl


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
        self._start = (0.0, 0, 0)  # seconds, windows and tokens when this start of the run began to train

    def note_start(self) -> None:
        """Note that training begins now, or resumes; speeds are measured from this moment."""
        self._start = (self.seconds, self.windows, self.tokens)

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
