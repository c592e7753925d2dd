"""The numbers of one group of runs in a report: means over the runs, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lm.studies.comparison.curves import Axis, Reached
from lm.studies.comparison.groups import Group
from lm.studies.comparison.run_figures import Forcing, RunFigures
from lm.studies.comparison.statistics import over_seeds

Value = TypeVar("Value", int, str)


@dataclass(frozen=True)
class Perplexity:
    """The exponential of the runs' mean nats per token, and its interval over seeds (None for one seed)."""

    mean: float
    low: float | None
    high: float | None
    seeds: int
    tokens: list[int]  # scored; several numbers where runs differ
    unknown: list[int] | None = None  # of these tokens, read as `<unk>`; None if a run did not count them


@dataclass(frozen=True)
class GroupReached:
    """How many runs (`reached`, of `of` runs) reached a perplexity, and means over them (None if not known)."""

    perplexity: float
    reached: int
    of: int
    tokens: float | None
    updates: float | None
    seconds: float | None

    def over(self, axis: Axis) -> float | None:
        return {"tokens": self.tokens, "updates": self.updates, "seconds": self.seconds}[axis]


@dataclass(frozen=True)
class GroupFigures:
    """A group of runs: its perplexities (None if not measured), and the speed and cost of its training."""

    name: str
    runs: list[str]
    forcing: Forcing
    valid: Perplexity | None
    valid_free_running: Perplexity | None
    test: Perplexity | None
    test_free_running: Perplexity | None
    tokens_per_second: float | None
    convergence: list[GroupReached]
    tokens: int | None  # of training; None where runs differ; the same for updates
    updates: int | None


def group_figures(group: Group, rows: Sequence[RunFigures], confidence: float) -> GroupFigures:
    """Compute the numbers of a group; `rows` holds the numbers of all runs of the report."""
    own = [row for row in rows if row.name in {run.name for run in group.runs}]
    valid, test = [row.valid for row in own], [row.test for row in own]
    speeds = [row.tokens_per_second for row in own if row.tokens_per_second]
    return GroupFigures(
        name=group.name,
        runs=[row.name for row in own],
        forcing=own[0].forcing,
        valid=_perplexity(valid, confidence),
        valid_free_running=_perplexity(_free_running(valid), confidence),
        test=_perplexity(test, confidence),
        test_free_running=_perplexity(_free_running(test), confidence),
        tokens_per_second=sum(speeds) / len(speeds) if speeds else None,
        convergence=[_reached(level) for level in zip(*(row.convergence for row in own), strict=True)],
        tokens=shared(row.training.get("tokens") for row in own),
        updates=shared(row.training.get("updates") for row in own),
    )


def _free_running(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [score.get("free_running") or {} for score in scores]


def _perplexity(scores: list[dict[str, Any]], confidence: float) -> Perplexity | None:
    """The perplexity of a group from its runs' scores in result.json; None if no score was measured."""
    known = [score for score in scores if score.get("nats") and score.get("tokens")]
    if not known:
        return None
    nats = over_seeds([score["nats"] / score["tokens"] for score in known], confidence)
    low, high = (None if value is None else math.exp(value) for value in (nats.low, nats.high))
    tokens = sorted({int(score["tokens"]) for score in known})
    counts = [score.get("unknown") for score in known]
    unknown = None if None in counts else sorted({int(count) for count in counts if count is not None})
    return Perplexity(math.exp(nats.mean), low, high, nats.over, tokens, unknown)


def _reached(rows: Sequence[Reached]) -> GroupReached:
    """Summarise when the runs of a group reached one perplexity; `rows` has one row for each run."""
    reached = [row for row in rows if row.tokens is not None]

    def mean(axis: Axis) -> float | None:
        known = [value for row in reached if (value := row.over(axis)) is not None]
        return sum(known) / len(known) if known and len(known) == len(reached) else None

    return GroupReached(
        rows[0].perplexity, len(reached), len(rows), mean("tokens"), mean("updates"), mean("seconds")
    )  # fmt: skip


def shared(values: Iterable[Value | None]) -> Value | None:
    """The value that all of them are; None if they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else None
