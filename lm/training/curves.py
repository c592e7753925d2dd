"""Writes points of a run's curves to all loggers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch.profiler import record_function

CURVES = "writing curves"
"""The name of this work in a profile."""
BY_TOKENS, BY_UPDATES, ONCE = "x_by_tokens", "x_by_updates", "x_once"
"""Groups of curves that TensorBoard shows last: over tokens and over optimiser steps, and figures of one point."""
TOGETHER = {"train/perplexity": "train", "valid/perplexity": "valid"}
"""Curves that TensorBoard shows in one card, its first: tag -> name of the line."""


@dataclass(frozen=True)
class Moment:
    """How far a run's training has come: windows, tokens, optimiser steps, and seconds of training."""

    windows: int
    tokens: int
    updates: int
    seconds: float


def write_point(loggers: Iterable[Any], at: Moment, scalars: dict[str, float]) -> None:
    """Write one point of several curves, {name: value}. On the x-axis is the number of windows trained on.

    Training loss and validation perplexity are written over tokens and over optimiser steps too: modes of training
    differ in tokens per window and in steps per window.
    """
    with record_function(CURVES):
        for logger in loggers:
            logger.log_metrics(scalars, step=at.windows)
            for tag in scalars.keys() & {"train/loss", "valid/perplexity"}:
                name = tag.replace("/", "_")
                logger.log_metrics({f"{BY_TOKENS}/{name}": scalars[tag]}, step=at.tokens)
                logger.log_metrics({f"{BY_UPDATES}/{name}": scalars[tag]}, step=at.updates)
            if hasattr(logger, "log_row"):
                logger.log_row(at, scalars)
            _write_together(logger, at.windows, scalars)


def _write_together(logger: Any, windows: int, scalars: dict[str, float]) -> None:
    """Write the curves of one card, each as a run of its own, because a card of TensorBoard has one tag."""
    lines = {TOGETHER[tag]: value for tag, value in scalars.items() if tag in TOGETHER}
    if lines and hasattr(logger.experiment, "add_scalars"):
        logger.experiment.add_scalars("perplexity", lines, windows)
