"""Writes points of a run's curves to all loggers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch.profiler import record_function

CURVES = "writing curves"
"""The name of this work in a profile."""


def write_point(loggers: Iterable[Any], windows: int, scalars: dict[str, float]) -> None:
    """Write one point of several curves, {name: value}. On the x-axis is the number of windows trained on."""
    with record_function(CURVES):
        for logger in loggers:
            logger.log_metrics(scalars, step=windows)


def write_by(loggers: Iterable[Any], tag: str, value: float, tokens: int, updates: int) -> None:
    """Write one value to two more curves: over the tokens, and over the optimiser steps so far.

    Modes of training differ in tokens per window and in steps per window, so curves over windows are not enough.
    """
    name = tag.replace("/", "_")
    with record_function(CURVES):
        for logger in loggers:
            logger.log_metrics({f"by_tokens/{name}": value}, step=tokens)
            logger.log_metrics({f"by_updates/{name}": value}, step=updates)
