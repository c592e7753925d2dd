"""Writes points of a run's curves to all loggers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def write_point(loggers: Iterable[Any], windows: int, scalars: dict[str, float]) -> None:
    """Write scalars; the x-axis of every curve is the number of windows trained on."""
    for logger in loggers:
        logger.log_metrics(scalars, step=windows)


def write_by(loggers: Iterable[Any], tag: str, value: float, tokens: int, updates: int) -> None:
    """Write a point over tokens and over optimiser steps too, because modes of training differ in both."""
    name = tag.replace("/", "_")
    for logger in loggers:
        logger.log_metrics({f"by_tokens/{name}": value}, step=tokens)
        logger.log_metrics({f"by_updates/{name}": value}, step=updates)
