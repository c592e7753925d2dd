"""A callback for the moment when training begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl


class StartOfTraining(pl.Callback):
    """Calls `begin` when training begins. Until then, nothing in the run's folder has changed."""

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.begin()
