"""Learning curves over tokens, updates and seconds, and when a run reached given perplexities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lm.studies.comparison.reading import Run
from lm.training.curves import BY_TOKENS, BY_UPDATES

Axis = Literal["tokens", "updates", "seconds"]
AXES: tuple[Axis, ...] = ("tokens", "updates", "seconds")
POINTS = 120
"""Maximum number of points in a drawn curve; each point is the mean of an equal share of the logged windows."""


@dataclass(frozen=True)
class LearningCurve:
    """A quantity during training: its `values` [P], and the tokens, updates and seconds of training until each."""

    tokens: list[float]
    updates: list[float]
    seconds: list[float] | None  # None where the run did not log them
    values: list[float]  # nats a token in training, perplexity in validation

    def over(self, axis: Axis) -> list[float] | None:
        """The positions of the values on `axis` (tokens, updates or seconds); None if they are not known."""
        return {"tokens": self.tokens, "updates": self.updates, "seconds": self.seconds}[axis]


@dataclass(frozen=True)
class Reached:
    """When validation perplexity first reached a given value; None if it never did, or if nothing was logged."""

    perplexity: float
    tokens: float | None = None
    updates: float | None = None
    seconds: float | None = None

    def over(self, axis: Axis) -> float | None:
        return {"tokens": self.tokens, "updates": self.updates, "seconds": self.seconds}[axis]


def training(run: Run) -> LearningCurve | None:
    """The curve of training loss in nats per token, with at most `POINTS` points; None if the run logged none."""
    return _curve(run, "train/loss", "train/seconds", f"{BY_TOKENS}/train_loss", f"{BY_UPDATES}/train_loss", POINTS)


def validation(run: Run) -> LearningCurve | None:
    """The curve of validation perplexity, with all points; None if the run logged none."""
    counted = (f"{BY_TOKENS}/valid_perplexity", f"{BY_UPDATES}/valid_perplexity")
    return _curve(run, "valid/perplexity", "valid/seconds", *counted, None)


def _curve(run: Run, values: str, seconds: str, tokens: str, updates: str, points: int | None) -> LearningCurve | None:
    curves = run.curves
    if any(tag not in curves for tag in (values, tokens, updates)):
        return None
    at = dict(zip(*(column.tolist() for column in curves[seconds]), strict=True)) if seconds in curves else {}
    count = len(curves[values].values)
    bins = np.array_split(np.arange(count), min(count, points or count))

    def thinned(column: NDArray[np.float64]) -> list[float]:
        return [float(column[part].mean()) for part in bins]

    # Both are logged at the same windows; a run begun with an earlier version has no seconds for its first part.
    timed = bool(at) and all(step in at for step in curves[values].steps)
    return LearningCurve(
        tokens=thinned(curves[tokens].steps),
        updates=thinned(curves[updates].steps),
        seconds=thinned(np.array([at[step] for step in curves[values].steps])) if timed else None,
        values=thinned(curves[values].values),
    )


def levels(best: Sequence[float], given: Sequence[float] | None = None) -> list[float]:
    """The perplexities to reach, in descending order: `given`, or else three of the runs' best perplexities (`best`):
    the highest (which every run reached), the middle and the lowest, rounded up to two digits, without duplicates."""
    if given:
        return sorted({float(value) for value in given}, reverse=True)
    found = sorted(value for value in best if math.isfinite(value))
    if not found:
        return []
    return sorted({_rounded_up(found[at]) for at in (0, len(found) // 2, -1)}, reverse=True)


def _rounded_up(value: float) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(math.ceil(value / unit) * unit)


def convergence(curve: LearningCurve | None, wanted: Sequence[float]) -> list[Reached]:
    """For each perplexity in `wanted`: tokens, updates and seconds when validation was first at or below it."""
    found = []
    for level in wanted:
        at = next((i for i, value in enumerate(curve.values) if value <= level), None) if curve else None
        if curve is None or at is None:
            found.append(Reached(level))
        else:
            seconds = curve.seconds[at] if curve.seconds else None
            found.append(Reached(level, curve.tokens[at], curve.updates[at], seconds))
    return found
