"""How training went: curves over tokens, updates and seconds, and when given perplexities were reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lm.studies.comparison.reading import Run

AXES = ("tokens", "updates", "seconds")
POINTS = 120
"""Points of a drawn curve at most: each the mean of its share of the windows logged."""


def training(run: Run) -> dict[str, Any] | None:
    """Training loss in nats a token, thinned; None without events. `seconds` is None where the run did not log them."""
    return _curve(run, "train/loss", "train/seconds", "by_tokens/train_loss", "by_updates/train_loss", POINTS)


def validation(run: Run) -> dict[str, Any] | None:
    """Validation perplexity, every point of it; else as `training`."""
    tags = ("valid/perplexity", "valid/seconds", "by_tokens/valid_perplexity", "by_updates/valid_perplexity")
    return _curve(run, *tags, None)


def _curve(run: Run, values: str, seconds: str, tokens: str, updates: str, points: int | None) -> dict[str, Any] | None:
    curves = run.curves
    if any(tag not in curves for tag in (values, tokens, updates)):
        return None
    at = dict(zip(*(column.tolist() for column in curves[seconds]), strict=True)) if seconds in curves else {}
    columns: dict[str, np.ndarray | None] = {
        "tokens": curves[tokens].steps,
        "updates": curves[updates].steps,
        # Both stand at the same window; a run that an earlier version began has none for its first part.
        "seconds": np.array([at.get(step, math.nan) for step in curves[values].steps]) if at else None,
        "values": curves[values].values,
    }
    if at and not all(step in at for step in curves[values].steps):
        columns["seconds"] = None
    count = len(curves[values].values)
    bins = np.array_split(np.arange(count), min(count, points or count))
    return {
        name: None if column is None else [float(column[part].mean()) for part in bins]
        for name, column in columns.items()
    }


def levels(best: Sequence[float], given: Sequence[float] | None = None) -> list[float]:
    """The perplexities to be reached: as given, or from the best ones of all runs, rounded up to two digits: the
    highest (which every run reached), the middle and the lowest, each once."""
    if given:
        return sorted({float(value) for value in given}, reverse=True)
    found = sorted(value for value in best if math.isfinite(value))
    if not found:
        return []
    return sorted({_rounded_up(found[at]) for at in (0, len(found) // 2, -1)}, reverse=True)


def _rounded_up(value: float) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(math.ceil(value / unit) * unit)


def convergence(curve: dict[str, Any] | None, wanted: Sequence[float]) -> list[dict[str, Any]]:
    """Tokens, updates and seconds at the first validation at or below each perplexity; null where none was."""
    found = []
    for level in wanted:
        row: dict[str, Any] = {"perplexity": level, **dict.fromkeys(AXES)}
        at = next((i for i, value in enumerate(curve["values"]) if value <= level), None) if curve else None
        if curve and at is not None:
            row |= {axis: curve[axis][at] if curve[axis] else None for axis in AXES}
        found.append(row)
    return found
