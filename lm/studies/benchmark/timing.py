"""Rivals are measured in turn, so that noise of the machine affects all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds for one unit of work, one figure per round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    def per(self, units: int) -> Timing:
        """The timing of one of `units` equal parts of the work."""
        return Timing(tuple(seconds / units for seconds in self.rounds))


def wait(device: str) -> None:
    """Wait until a card has finished its queued work; a CPU needs no wait."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object]) -> float:
    """The seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(rivals: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time each rival once per round for `rounds` rounds, after one uncounted round.

    A rival that returns a float has timed itself, in seconds; otherwise the whole call is timed.
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
    """How many times as fast the second is (above 1: faster): the median of the ratios of all rounds.

    Both times of a round were measured seconds apart, so a machine that is slow for a while slows both.
    """
    return median(one / other for one, other in zip(slow.rounds, fast.rounds, strict=True))
