"""How sure a figure is: intervals over seeds, and over the text that it was measured on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

SEGMENT = 200
"""Tokens of a segment at most: long enough that the state hardly ties one to the next."""
FEWEST_SEGMENTS = 20
FEWEST_BEYOND = 20
"""Resamples beyond either end of an interval at least: with fewer the end is an accident."""


class Interval(NamedTuple):
    """An estimate and the interval around it; without one (None) where there is nothing to make it from."""

    mean: float
    low: float | None
    high: float | None
    over: int  # how many of what the interval is over: seeds, or segments of a text

    def excludes(self, value: float) -> bool:
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


def over_seeds(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean and Student's t interval; one value has no interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, None, None, len(values))
    # Not by ttest_1samp: where the values are all the same it gives no interval.
    low, high = mean + stats.sem(values) * np.array(stats.t.interval(confidence, len(values) - 1))
    return Interval(mean, float(low), float(high), len(values))


def between_seeds(groups: Sequence[Sequence[float]], confidence: float = 0.95) -> dict[tuple[int, int], Interval]:
    """mean(b) - mean(a) for each pair (a, b) of groups, with Tukey's intervals, which hold for all pairs together.

    The spread of seeds is taken to be the same in every group and pooled: three seeds alone say little about it.
    (Tukey 1949, Kramer 1956.) No interval for a group of one value, or with one that is not finite.
    """
    several = [i for i, values in enumerate(groups) if len(values) > 1 and np.isfinite(values).all()]
    known: dict[tuple[int, int], tuple[float, float]] = {}
    if len(several) > 1:
        with np.errstate(divide="ignore", invalid="ignore"):  # in its p-values, where seeds are all the same
            ends = stats.tukey_hsd(*(groups[i] for i in several)).confidence_interval(confidence)
        pairs = combinations(enumerate(several), 2)
        known = {(i, j): (float(ends.low[b, a]), float(ends.high[b, a])) for (a, i), (b, j) in pairs}
    found = {}
    for i, j in combinations(range(len(groups)), 2):
        difference, over = float(np.mean(groups[j]) - np.mean(groups[i])), min(len(groups[i]), len(groups[j]))
        low, high = known.get((i, j), (None, None))
        found[i, j] = Interval(difference, low, high, over)
    return found


def segment_length(tokens: int) -> int:
    """Tokens of a segment: `SEGMENT`, less where the text would give fewer than 50 of them."""
    return max(1, min(SEGMENT, tokens // 50))


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, confidence: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """mean(b - a) over the tokens [n] of one text, with the percentile interval over resampled segments of it.

    Both models read the same segments each time, so that hard and easy ones do not count as a difference (Koehn 2004).
    At least `resamples` are drawn; a high confidence takes more. No interval where the text gives fewer than
    `FEWEST_SEGMENTS` segments.
    """
    difference = b.astype(np.float64) - a
    starts = np.arange(0, len(difference), segment_length(len(difference)))
    sums, sizes = np.add.reduceat(difference, starts), np.diff([*starts, len(difference)])
    if len(starts) < FEWEST_SEGMENTS:
        return Interval(float(difference.mean()), None, None, len(starts))
    resamples = max(resamples, math.ceil(2 * FEWEST_BEYOND / (1 - confidence)))
    # How often each segment is drawn is all that counts; n draws with replacement are multinomial.
    drawn = np.random.default_rng(seed).multinomial(len(starts), np.full(len(starts), 1 / len(starts)), resamples)
    means = (drawn @ sums) / (drawn @ sizes)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(difference.mean()), float(low), float(high), len(starts))
