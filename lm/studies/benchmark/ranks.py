"""Speed of two processes that share a batch, beside one process with all threads."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from lm.studies.benchmark.processes import Apart
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.timing import Timing, interleaved, seconds
from lm.studies.benchmark.training import StepRival
from lm.system.companions import companions
from lm.system.ranks import Ranks

RANKS = 2


def ranks(sizes: Sizes, rounds: int, windows: int, precision: str) -> dict[str, Timing]:
    """Seconds per window of a step: one process; two, each with half of columns and threads; their exchange alone."""
    with (
        Apart(StepRival, sizes, windows, precision) as alone,
        companions(RANKS, False, None, partial(follow, sizes, windows, precision)) as both,
    ):
        rival = rival_of(both, sizes, windows, precision)

        def step() -> float:
            both.from_first("step")
            return rival()

        def exchange() -> float:
            both.from_first("exchange")
            return averaging(rival, both)

        found = interleaved({"one_process": alone, "two_ranks": step, "all_reduce": exchange}, rounds)
        both.from_first(None)
    return found


def follow(sizes: Sizes, windows: int, precision: str, ranks: Ranks) -> None:
    """Does on the other rank what the first one asks for."""
    rival = rival_of(ranks, sizes, windows, precision)
    while asked := ranks.from_first(None):
        if asked == "step":
            rival()
        else:
            averaging(rival, ranks)


def rival_of(ranks: Ranks, sizes: Sizes, windows: int, precision: str) -> StepRival:
    return StepRival(replace(sizes, batch_size=sizes.batch_size // ranks.size), windows, precision, ranks=ranks)


def averaging(rival: StepRival, ranks: Ranks) -> float:
    ranks.wait()
    return seconds(lambda: ranks.average_gradients(rival.model.parameters()))
