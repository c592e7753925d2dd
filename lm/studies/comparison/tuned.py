"""Settings of which each was trained with several learning rates: each is judged at its own best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lm.studies.comparison.groups import Group, names, same_settings
from lm.studies.comparison.reading import Run
from lm.studies.comparison.statistics import Interval, between_seeds

RATE = "optim.lr"


@dataclass(frozen=True)
class Tuned:
    """A setting at that of its learning rates with the lowest validation perplexity, in the mean of nats over seeds."""

    name: str
    group: str  # the name of the group with that learning rate
    rate: float
    rates: list[float]  # all that were tried, in ascending order
    unfinished: list[float]  # those without a figure for every seed, as after divergence; they are not chosen
    weights: int | None
    behind: Interval | None  # test nats a token more than the first setting's, over seeds; None for the first itself

    @property
    def at_the_edge(self) -> Literal["only", "lowest", "highest"] | None:
        """Whether the best rate is at an end of those that were tried, so that one beyond it may be better."""
        if len(self.rates) == 1:
            return "only"
        ends: dict[float, Literal["lowest", "highest"]] = {self.rates[0]: "lowest", self.rates[-1]: "highest"}
        return ends.get(self.rate)


def tuned(groups: list[Group], confidence: float) -> list[Tuned]:
    """Each setting at its best learning rate, the best setting first, by validation.

    The differences on the test text have Tukey's intervals, which hold all together. Settings without figures are left
    out. Empty if there is one setting alone, or if none was tried with several learning rates.
    """
    families: dict[str, dict[float, Group]] = {}
    for group in groups:
        rate = group.runs[0].config.get("optim", {}).get("lr")
        if isinstance(rate, (int, float)):
            family = families.setdefault(same_settings(group.runs[0], without=RATE), {})
            family.setdefault(float(rate), group)  # repeats of a seed are groups of their own: the first counts
    found = [(family, best) for family in families.values() if (best := _best(family)) is not None]
    if len(found) < 2 or all(len(family) == 1 for family, _ in found):
        return []
    found.sort(key=lambda pair: _mean(pair[0][pair[1]], "valid"))
    called = names([[run for group in family.values() for run in group.runs] for family, _ in found], beside=(RATE,))
    behind = between_seeds([_each(family[best].runs, "test") for family, best in found], confidence)
    return [
        Tuned(
            name=name,
            group=family[best].name,
            rate=best,
            rates=sorted(family),
            unfinished=sorted(family.keys() - _finished(family)),
            weights=family[best].runs[0].result.get("parameters"),
            behind=behind[0, place] if place else None,
        )
        for place, (name, (family, best)) in enumerate(zip(called, found, strict=True))
    ]


def _best(family: dict[float, Group]) -> float | None:
    """The rate with the lowest validation perplexity, of those that finished; None if there is none with figures."""
    known = [rate for rate in _finished(family) if math.isfinite(_mean(family[rate], "test"))]
    return min(known, key=lambda rate: _mean(family[rate], "valid"), default=None)


def _finished(family: dict[float, Group]) -> list[float]:
    """The rates that have a finite validation figure for every seed that any rate has."""
    seeds = {run.seed for group in family.values() for run in group.runs}
    return [
        rate
        for rate, group in family.items()
        if {run.seed for run in group.runs} == seeds and math.isfinite(_mean(group, "valid"))
    ]


def _mean(group: Group, split: str) -> float:
    return float(np.mean(_each(group.runs, split)))


def _each(runs: Sequence[Run], split: str) -> list[float]:
    """The nats per token of each run; infinite where there are none."""
    scores = [run.result.get(split) or {} for run in runs]
    return [score["nats"] / score["tokens"] if score.get("tokens") else math.inf for score in scores]
