"""The page's first section: short answers to the exercise's questions. Later sections give the details."""

from __future__ import annotations

from lm.studies.comparison.figures import Figures
from lm.studies.comparison.quality import SAMPLERS
from lm.studies.comparison.sections.shared import texts
from lm.studies.comparison.sentences import apart, number, side
from lm.studies.comparison.vectors import KINDS
from lm.studies.page import Block, Heading, Statements


def short(report: Figures) -> list[Block | None]:
    said = [line for part in (_best, _own_words, _circles, _chance, _settings) for line in part(report)]
    return [Heading("In short"), Statements(said)] if said else []


def _best(report: Figures) -> list[str]:
    groups = {group.name: group.test.mean for group in report.groups if group.test}
    if len(groups) < 2 or len(texts(report)) > 1:
        return []
    best = min(groups, key=groups.__getitem__)
    rows = [row for row in report.differences if best in row.groups]
    shown = [row for row in rows if row.shown and (row.nats > 0) == (row.groups[0] == best)]
    runs_only = sum(row.over_seeds.low is None for row in shown)
    beyond = f"better by more than chance than {len(shown)} of the {len(groups) - 1} others"
    if len(rows) < len(groups) - 1:
        beyond += f", of which {len(rows)} were compared"
    limit = f" ({runs_only} of these comparisons are of single runs)" if runs_only else ""
    return [f"Lowest test perplexity when reading true words: {best} ({number(groups[best])}), {beyond}{limit}."]


def _own_words(report: Figures) -> list[str]:
    groups = [
        (group.name, group.test, own) for group in report.groups if group.test and (own := group.test_free_running)
    ]
    if len(groups) < 2 or len(texts(report)) > 1:
        return []
    truly_best, _, worse = min(groups, key=lambda group: group[1].mean)
    best, _, lowest = min(groups, key=lambda group: group[2].mean)
    value = f"{best} ({number(lowest.mean)})"
    if truly_best == best:
        return [f"When fed its own words, the same setting has the lowest perplexity: {value}."]
    other = f"{truly_best}, best on true words, has {number(worse.mean)}"
    limit = apart(lowest, worse)
    return [f"When fed their own words, another setting has the lowest perplexity: {value}; {other} ({limit})."]


def _circles(report: Figures) -> list[str]:
    found = [run.quality for run in report.runs if run.quality]
    if not found:
        return []
    greedy, random = (
        f"{sum(text.by(sampler).loops for text in found)} of {sum(text.by(sampler).sequences for text in found)}"
        for sampler in SAMPLERS
    )
    return [f"Greedy sampling ends in a loop in {greedy} texts, random sampling in {random}."]


def _chance(report: Figures) -> list[str]:
    """How many distances between embeddings after training are outside their range before training."""
    found = [
        side(pair.by(kind).trained, before)
        for run in report.runs
        if run.embeddings
        for pair in run.embeddings.pairs
        for kind in KINDS
        if (before := run.embeddings.frequent_pairs.by(kind).initial)
    ]
    if not found:
        return []
    outside = sum(where != "within" for where in found)
    return [
        f"Distances outside the range of 95% of frequent pairs before training: {outside} of {len(found)}; by chance "
        "alone it would be 1 in 20."
    ]


def _settings(report: Figures) -> list[str]:
    rows = report.distances
    if not rows:
        return []
    judged = [row.over_seeds for row in rows if row.over_seeds.low is not None]
    if not judged:
        return ["It is not known whether distances depend on the setting: that needs several seeds of each."]
    shown = sum(part.excludes(0) for part in judged)
    return [f"Differences in distance between settings that are larger than those of seeds: {shown} of {len(judged)}."]
