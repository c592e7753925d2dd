"""All numbers of a comparison: the content of report.json, from which the page is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm.studies.comparison import curves
from lm.studies.comparison.agreement import RunsAgreement, agreement
from lm.studies.comparison.differences import (
    Difference,
    DistanceDifference,
    differences,
    different_text,
    of_distances,
)
from lm.studies.comparison.group_figures import GroupFigures, group_figures
from lm.studies.comparison.group_samples import GroupSamples, group_samples
from lm.studies.comparison.groups import differing, grouped
from lm.studies.comparison.measuring import Known, Refusal, Refused, look, measure
from lm.studies.comparison.quality import AgainstReal, against_real
from lm.studies.comparison.ranking import Ranked, ranking
from lm.studies.comparison.reading import LeftOut, Run
from lm.studies.comparison.related import CloserThanUnrelated, closer, related_words
from lm.studies.comparison.run_figures import RunFigures, run_figures
from lm.studies.comparison.settings import Settings
from lm.studies.comparison.tuned import Tuned, tuned
from lm.system.terminal import say


@dataclass(frozen=True)
class Figures:
    """All results of a comparison; every field is a key of report.json."""

    settings: Settings
    perplexities: list[float]  # to reach, in validation
    prompts: list[str]
    incomparable: str | None  # why perplexities of the runs cannot be compared; None if they can
    runs: list[RunFigures]
    left_out: list[LeftOut]
    groups: list[GroupFigures]
    differ: dict[str, list[Any]]  # the settings that differ, with a value for each group
    ranking: list[Ranked]  # of runs of different tokenisers; empty if they all have the same
    tuned: list[Tuned]  # settings at their best learning rates; empty if none was tried with several
    differences: list[Difference]
    distances: list[DistanceDifference]
    agreement: list[RunsAgreement]
    related: list[CloserThanUnrelated]
    samples: list[GroupSamples]
    against_real: list[AgainstReal]
    refused: list[Refused]


def figures(runs: list[Run], left_out: list[LeftOut], out: Path, settings: Settings) -> Figures:
    """Measure and compare the runs. The losses of all test tokens are cached in the folder `out`."""
    refused: list[Refused] = []
    related = related_words(settings.pairs)  # a mistake is reported before anything is measured
    groups = grouped(runs)
    known = {run.name: Known(run) for run in runs}
    prompts = look(known.values(), refused, settings)
    for number, one in enumerate(known.values(), 1):
        say(f"[{number}/{len(known)}] {one.run.name}: test text{', samples, embeddings' * (not settings.brief)} ...")
        measure(one, prompts, related, out, refused, settings)
    best = [one.run.result["valid"].get("perplexity") or math.inf for one in known.values()]
    wanted = curves.levels(best, settings.perplexities)
    incomparable = different_text(list(known.values()))
    if incomparable:
        wanted = []
        Refusal(refused, *known).note("convergence to the same perplexities", incomparable)
    rows = [run_figures(known[run.name], group, wanted, refused) for group in groups for run in group.runs]
    of_groups = [group_figures(group, rows, settings.confidence) for group in groups]
    return Figures(
        settings=settings,
        perplexities=wanted,
        prompts=prompts,
        incomparable=incomparable,
        runs=rows,
        left_out=left_out,
        groups=of_groups,
        differ=differing(groups),
        ranking=ranking(known.values()),
        tuned=[] if incomparable else tuned(groups, settings.confidence),
        differences=differences(groups, known, refused, settings),
        distances=of_distances(groups, rows, settings.confidence),
        agreement=agreement(groups, known, refused, settings),
        related=closer(
            {
                group.name: [row.relatedness for row in rows if row.group == group.name and row.relatedness]
                for group in groups
            },
            settings.confidence,
        ),
        samples=group_samples(of_groups, rows, settings.confidence),
        against_real=against_real(
            {name: one.quality for name, one in known.items() if one.quality}, settings.confidence
        ),
        refused=refused,
    )
