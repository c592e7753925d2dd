"""Times several implementations in turn, so that noise of the machine affects all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds for one unit of work, one number per round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    def per(self, units: int) -> Timing:
        """Divide the seconds by `units`: the timing of one of `units` equal parts of the work."""
        return Timing(tuple(seconds / units for seconds in self.rounds))


def wait(device: str) -> None:
    """Wait until a GPU has finished its queued work; return at once for a CPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object]) -> float:
    """Call `work` once; returns the seconds that the call took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(rivals: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Time each function once per round for `rounds` rounds, after one uncounted round.

    If a function returns a float, this is taken as its seconds; otherwise the whole call is timed.
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
    """How many times faster `fast` is than `slow`: the median over rounds of slow seconds / fast seconds.

    Both times of a round were measured seconds apart, so a machine that is slow for a while slows both.
    """
    return median(one / other for one, other in zip(slow.rounds, fast.rounds, strict=True))
