"""The quality of the texts of each setting, over its seeds: greedy, at each temperature, and of real text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lm.studies.comparison.group_figures import GroupFigures
from lm.studies.comparison.quality import Quality, SampleQuality
from lm.studies.comparison.run_figures import RunFigures
from lm.studies.comparison.statistics import Interval, over_seeds

GREEDY, REAL = "greedy", "real test text"


@dataclass(frozen=True)
class GroupSamples:
    """The texts of a group of runs by one sampler: sums of the counts, means over runs of the rest.

    Of real text, which is the same for all, only the surprisal is a mean over runs.
    """

    group: str
    by: str  # greedy, a temperature, or real test text
    temperature: float | None  # None unless drawn
    loops: int
    sequences: int
    distinct_1: float
    distinct_2: Interval
    distinct_3: float
    unk: float
    surprisal: Interval | None  # under the run's own model
    ngram_nats: Interval | None


def group_samples(groups: Sequence[GroupFigures], rows: Sequence[RunFigures], confidence: float) -> list[GroupSamples]:
    """The rows of each group whose runs' texts were measured, with Student's intervals over seeds."""
    written = {row.name: row.quality for row in rows if row.quality}
    found = []
    for group in groups:
        own = [written[name] for name in group.runs if name in written]
        for by, temperature in _kinds(own):
            texts = [quality for one in own if (quality := _of(one, by, temperature))]
            if texts:
                found.append(_together(group.name, by, temperature, texts, confidence))
    return found


def _kinds(own: Sequence[SampleQuality]) -> list[tuple[str, float | None]]:
    drawn = dict.fromkeys(t for one in own for t in one.by_temperature)
    return [(GREEDY, None), *((f"temperature {t:g}", t) for t in drawn), (REAL, None)]


def _of(one: SampleQuality, by: str, temperature: float | None) -> Quality | None:
    if temperature is not None:
        return one.by_temperature.get(temperature)
    return one.greedy if by == GREEDY else one.real


def _together(
    group: str, by: str, temperature: float | None, texts: Sequence[Quality], confidence: float
) -> GroupSamples:
    def mean(values: Sequence[float | None]) -> Interval | None:
        known = [value for value in values if value is not None]
        return over_seeds(known, confidence) if len(known) == len(values) else None

    surprisal = mean([text.surprisal for text in texts])
    if by == REAL:
        texts = texts[:1]
    return GroupSamples(
        group=group,
        by=by,
        temperature=temperature,
        loops=sum(text.loops for text in texts),
        sequences=sum(text.sequences for text in texts),
        distinct_1=float(np.mean([text.distinct_1 for text in texts])),
        distinct_2=over_seeds([text.distinct_2 for text in texts], confidence),
        distinct_3=float(np.mean([text.distinct_3 for text in texts])),
        unk=float(np.mean([text.unk for text in texts])),
        surprisal=surprisal,
        ngram_nats=mean([text.ngram_nats for text in texts]),
    )
