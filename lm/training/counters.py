"""How much training a run has had, and how fast this start of it trains."""

from __future__ import annotations

import pytorch_lightning as pl


class Counted(pl.LightningModule):
    """Counts windows, tokens, updates, epochs and seconds since the start of the run; a resumed run counts on."""

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
        """This start of the run begins to train now."""
        self._start = (self.seconds, self.windows, self.tokens)

    @property
    def windows_per_second(self) -> float | None:
        """Training speed since this start of the run, without validation; None before the first window."""
        return self._per_second(self.windows, self._start[1])

    @property
    def tokens_per_second(self) -> float | None:
        """The same in tokens."""
        return self._per_second(self.tokens, self._start[2])

    def _per_second(self, now: int, before: int) -> float | None:
        return (now - before) / (self.seconds - self._start[0]) if now > before else None
