"""Confidence intervals of a measured number: over seeds, and over the text used for the measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

SEGMENT = 200
"""Maximum number of tokens in a segment: at this length the state hardly links neighbouring segments."""
FEWEST_SEGMENTS = 20
FEWEST_BEYOND = 10
"""Minimum number of resamples beyond each end of an interval: with fewer, the ends are unreliable."""


class Interval(NamedTuple):
    """An estimate and its interval; `low` and `high` are None where no interval can be computed."""

    mean: float
    low: float | None
    high: float | None
    over: int  # the number of seeds, or of segments of a text

    def excludes(self, value: float) -> bool:
        return self.low is not None and self.high is not None and (value < self.low or self.high < value)


def over_seeds(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of the values, with Student's t interval; no interval for one value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, None, None, len(values))
    # Not by ttest_1samp: it gives no interval for equal values.
    low, high = mean + stats.sem(values) * np.array(stats.t.interval(confidence, len(values) - 1))
    return Interval(mean, float(low), float(high), len(values))


def between_seeds(groups: Sequence[Sequence[float]], confidence: float = 0.95) -> dict[tuple[int, int], Interval]:
    """For each pair (a, b) of groups: mean(b) - mean(a), with Tukey's interval; the intervals hold all together.

    The spread of seeds is assumed to be equal in all groups and is pooled, because three seeds say little about
    the spread (Tukey 1949, Kramer 1956). No interval for a group with one value, or with a value that is not finite.
    """
    several = [i for i, values in enumerate(groups) if len(values) > 1 and np.isfinite(values).all()]
    known: dict[tuple[int, int], tuple[float, float]] = {}
    if len(several) > 1:
        with np.errstate(divide="ignore", invalid="ignore"):  # from its p-values, if all seeds are equal
            ends = stats.tukey_hsd(*(groups[i] for i in several)).confidence_interval(confidence)
        pairs = combinations(enumerate(several), 2)
        known = {(i, j): (float(ends.low[b, a]), float(ends.high[b, a])) for (a, i), (b, j) in pairs}
    found = {}
    for i, j in combinations(range(len(groups)), 2):
        difference, over = float(np.mean(groups[j]) - np.mean(groups[i])), min(len(groups[i]), len(groups[j]))
        low, high = known.get((i, j), (None, None))
        found[i, j] = Interval(difference, low, high, over)
    return found


def between_means(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Interval:
    """mean(b) - mean(a) of independent values, with Welch's interval; no interval if one side has a single value."""
    difference, over = float(np.mean(b) - np.mean(a)), min(len(a), len(b))
    if over < 2:
        return Interval(difference, None, None, over)
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (a, b)]  # of the difference's variance
    if not any(parts):
        return Interval(difference, difference, difference, over)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (a, b), strict=True))
    low, high = difference + math.sqrt(sum(parts)) * np.array(stats.t.interval(confidence, freedom))
    return Interval(difference, float(low), float(high), over)


def segment_length(tokens: int) -> int:
    """Number of tokens in a segment: `SEGMENT`, or fewer if the text would give fewer than 50 segments."""
    return max(1, min(SEGMENT, tokens // 50))


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, confidence: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """mean(b - a) over the tokens [n] of one text, with the percentile interval over resampled segments.

    Each resample has the same segments for both models, so hard and easy segments cause no difference (Koehn 2004).
    At least `resamples` resamples are drawn, and more for a high confidence. No interval if the text gives fewer than
    `FEWEST_SEGMENTS` segments.
    """
    difference = b.astype(np.float64) - a
    starts = np.arange(0, len(difference), segment_length(len(difference)))
    sums, sizes = np.add.reduceat(difference, starts), np.diff([*starts, len(difference)])
    if len(starts) < FEWEST_SEGMENTS:
        return Interval(float(difference.mean()), None, None, len(starts))
    # Percentiles from few segments give too narrow an interval, most of all in the tails. They are widened as Student's
    # t distribution is wider than the normal one (Hesterberg 2015, the expanded percentile interval).
    n = len(starts)
    beyond = float(stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf((1 + confidence) / 2, n - 1)))
    drawn = _drawn(n, max(resamples, math.ceil(FEWEST_BEYOND / beyond)), seed)
    means = (drawn @ sums) / (drawn @ sizes)
    low, high = np.quantile(means, [beyond, 1 - beyond])
    return Interval(float(difference.mean()), float(low), float(high), len(starts))


@lru_cache(maxsize=1)
def _drawn(segments: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """Draw how often each segment occurs in each resample, [resamples, segments], from a multinomial distribution.

    The draws are cached: the next pair of runs on the same text uses them again.
    """
    rng, shares, block = np.random.default_rng(seed), np.full(segments, 1 / segments), 100_000
    drawn = np.empty((resamples, segments), np.float32)
    for start in range(0, resamples, block):
        drawn[start : start + block] = rng.multinomial(segments, shares, min(block, resamples - start))
    return drawn
