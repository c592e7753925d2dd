"""Points of a run's curves, in whatever loggers there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def write_point(loggers: Iterable[Any], windows: int, scalars: dict[str, float]) -> None:
    """Scalars at the x-axis of every curve: windows trained on."""
    for logger in loggers:
        logger.log_metrics(scalars, step=windows)


def write_by(loggers: Iterable[Any], tag: str, value: float, tokens: int, updates: int) -> None:
    """The same point once more over tokens, and over optimiser steps: what modes of training differ in."""
    name = tag.replace("/", "_")
    for logger in loggers:
        logger.log_metrics({f"by_tokens/{name}": value}, step=tokens)
        logger.log_metrics({f"by_updates/{name}": value}, step=updates)
