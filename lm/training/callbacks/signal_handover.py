"""Handling of Ctrl-C and SIGTERM in runs without a checkpoint callback."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from lm.system.ranks import ALONE, Ranks
from lm.system.signals import StopRequest


class SignalHandover(pl.Callback):
    """Replaces Lightning's handlers of Ctrl-C and SIGTERM, which end a batch early and exit with status 0.

    A stop request to one rank becomes one to all, after the same window.

    `obeys`: whether this callback stops training, after a window. False if a checkpoint callback stops it after saving.
    """

    def __init__(self, stop: StopRequest, obeys: bool, ranks: Ranks = ALONE) -> None:
        self.stop, self.obeys, self.ranks = stop, obeys, ranks

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.stop.listen()
        trainer._signal_connector.received_sigterm = False  # `stop` has an earlier signal as well

    def on_test_start(self, trainer: Any, module: Any) -> None:
        self.stop.stop_alone()
        self.on_train_start(trainer, module)

    def on_train_batch_end(self, *_: Any) -> None:  # before that of other callbacks
        self._agree()
        if self.obeys:
            self.stop.obey()

    def on_train_epoch_end(self, *_: Any) -> None:
        self._agree()

    def _agree(self) -> None:
        if self.ranks.size > 1:
            self.stop.agree(self.ranks.largest)

    def on_test_batch_end(self, *_: Any) -> None:
        self.stop.obey()
