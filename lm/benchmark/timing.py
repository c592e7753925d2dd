"""Rivals measured in turn, so that what a noisy machine does to one it does to all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple


class Timing(NamedTuple):
    """Seconds for one unit of work: the median over rounds, and the range."""

    median: float
    low: float
    high: float


def interleaved(rivals: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time each rival once a round, `rounds` times, after one round that is not counted.

    A rival that returns a float has timed itself, in seconds; else the whole call is timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for k in range(rounds + 1):
        for name, work in rivals.items():
            start = time.perf_counter()
            own = work()
            taken = own if isinstance(own, float) else time.perf_counter() - start
            if k:
                seconds[name].append(taken)
    return {name: Timing(median(taken), min(taken), max(taken)) for name, taken in seconds.items()}


def ratio(slow: Timing, fast: Timing) -> float:
    """How many times as fast the second is: above 1 means faster."""
    return slow.median / fast.median
