"""Settings of which each was trained with several learning rates: each is judged at its own best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lm.studies.comparison.groups import Group, names, same_settings
from lm.studies.comparison.statistics import Interval, between_seeds

RATE = "optim.lr"


@dataclass(frozen=True)
class Tuned:
    """A setting at that of its learning rates with the lowest validation perplexity, in the mean of nats over seeds."""

    name: str
    group: str  # the name of the group with that learning rate
    rate: float
    rates: list[float]  # all that were tried, in ascending order
    weights: int | None
    behind: Interval | None  # test nats a token more than the first setting's, over seeds; None for the first itself

    @property
    def at_the_edge(self) -> str | None:
        """Whether the best rate is the lowest or the highest that was tried, so that one beyond it may be better."""
        if len(self.rates) == 1:
            return "only"
        return {self.rates[0]: "lowest", self.rates[-1]: "highest"}.get(self.rate)


def tuned(groups: list[Group], confidence: float) -> list[Tuned]:
    """Each setting at its best learning rate, the best setting first, by validation.

    The differences on the test text have Tukey's intervals, which hold all together. Empty if there is one setting
    alone, or if no setting was tried with several learning rates.
    """
    families: dict[str, list[Group]] = {}
    for group in groups:
        families.setdefault(same_settings(group.runs[0], without=RATE), []).append(group)
    if len(families) < 2 or all(len(family) == 1 for family in families.values()):
        return []
    ordered = sorted(families.values(), key=lambda family: _nats(_best(family), "valid"))
    called = names([[run for group in family for run in group.runs] for family in ordered], beside=(RATE,))
    best = [_best(family) for family in ordered]
    behind = between_seeds([_each(group, "test") for group in best], confidence)
    return [
        Tuned(
            name=name,
            group=group.name,
            rate=_rate(group),
            rates=sorted(_rate(other) for other in family),
            weights=group.runs[0].result.get("parameters"),
            behind=behind[0, place] if place else None,
        )
        for place, (name, group, family) in enumerate(zip(called, best, ordered, strict=True))
    ]


def _best(family: list[Group]) -> Group:
    return min(family, key=lambda group: _nats(group, "valid"))


def _nats(group: Group, split: str) -> float:
    mean = float(np.mean(_each(group, split)))
    return mean if math.isfinite(mean) else math.inf


def _each(group: Group, split: str) -> list[float]:
    """The nats per token of each run; infinite where there are none."""
    scores = [run.result.get(split) or {} for run in group.runs]
    return [score["nats"] / score["tokens"] if score.get("tokens") else math.inf for score in scores]


def _rate(group: Group) -> float:
    return float(group.runs[0].config["optim"]["lr"])
