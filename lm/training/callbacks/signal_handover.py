"""Obeying Ctrl-C and SIGTERM where no checkpoint callback does."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from lm.system.signals import StopRequest


class SignalHandover(pl.Callback):
    """Takes the signals back from Lightning, whose own handling ends a batch early and exits with 0.

    `obeys`: whether training stops here, behind a window; a checkpoint callback does so itself, having saved.
    """

    def __init__(self, stop: StopRequest, obeys: bool) -> None:
        self.stop, self.obeys = stop, obeys

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.stop.listen()
        trainer._signal_connector.received_sigterm = False  # one that came before this is in `stop` as well

    def on_test_start(self, trainer: Any, module: Any) -> None:
        self.on_train_start(trainer, module)

    def on_train_batch_end(self, *_: Any) -> None:
        if self.obeys:
            self.stop.obey()

    def on_test_batch_end(self, *_: Any) -> None:
        self.stop.obey()
