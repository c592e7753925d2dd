"""Rivals measured in turn, so that what a noisy machine does to one it does to all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds for one unit of work, a figure a round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    def per(self, units: int) -> Timing:
        """The same for one of `units` equal parts of the work."""
        return Timing(tuple(seconds / units for seconds in self.rounds))


def wait(device: str) -> None:
    """Until a card has done what it was asked to; a processor has."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(rivals: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time each rival once a round, `rounds` times, after one round that is not counted.

    A rival that returns a float has timed itself, in seconds; else the whole call is timed.
    """
    rounds_of: dict[str, list[float]] = {name: [] for name in rivals}
    for k in range(rounds + 1):
        for name, work in rivals.items():
            start = time.perf_counter()
            own = work()
            taken = own if isinstance(own, float) else time.perf_counter() - start
            if k:
                rounds_of[name].append(taken)
    return {name: Timing(tuple(taken)) for name, taken in rounds_of.items()}


def ratio(slow: Timing, fast: Timing) -> float:
    """How many times as fast the second is, above 1 meaning faster: the median over rounds.

    Each round compares what was measured seconds apart, so that a machine that is slow for a while is slow for both.
    """
    return median(one / other for one, other in zip(slow.rounds, fast.rounds, strict=True))
