"""The page's first section: short answers to the exercise's questions. Later sections give the details."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lm.studies.comparison.differences import Difference
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.quality import SAMPLERS
from lm.studies.comparison.sections.learning_rates import best_of_each
from lm.studies.comparison.sentences import apart, in_nats, incomparable, is_below, number, percent
from lm.studies.comparison.sentences_words import side
from lm.studies.comparison.vectors import KINDS
from lm.studies.page import Block, Heading, Statements


def short(report: Figures) -> list[Block]:
    said = [line for part in (verdict, own_words, _circles, _related, _chance, _settings) for line in part(report)]
    return [Heading("In short"), Statements(said)] if said else []


def verdict(report: Figures) -> list[str]:
    """Which setting is better, by how much, and whether that is more than chance; none where it has no rival."""
    return [*best_of_each(report), *_best(report)]


def _best(report: Figures) -> list[str]:
    groups = {group.name: group.test.mean for group in report.groups if group.test}
    if len(groups) < 2 or report.tuned:  # there validation has chosen, and not the test text
        return []
    if report.incomparable:
        return [incomparable(report.incomparable)]
    best = min(groups, key=groups.__getitem__)
    rows = [row for row in report.differences if best in row.groups]
    shown = [row for row in rows if row.shown and (row.nats > 0) == (row.groups[0] == best)]
    value = f"{best} ({number(groups[best])})"
    start = "Test perplexity when reading true words:"
    if not rows:
        return [f"{start} lowest {value}; it could not be compared with the other settings."]
    compared = "" if len(rows) == len(groups) - 1 else f", of which {len(rows)} were compared"
    others = f"any of the {len(groups) - 1} other settings{compared}" if len(groups) > 2 else _other(groups, best)
    next_best = _next_best(groups, best, rows)
    if not shown:
        return [f"{start} {value} is not shown to differ from {others}{next_best}."]
    runs_only = sum(row.over_seeds.low is None for row in shown)
    if len(groups) == 2:
        limit = "; single runs: this holds for these trained models" if runs_only else ""
        return [f"{start} lowest {value}, better by more than chance than {others}{next_best}{limit}."]
    limit = f" ({runs_only} of these comparisons are of single runs)" if runs_only else ""
    beyond = f"better by more than chance than {len(shown)} of the {len(groups) - 1} other settings{compared}{limit}"
    return [f"{start} lowest {value}, {beyond}{next_best}."]


def _next_best(groups: dict[str, float], best: str, rows: Sequence[Difference]) -> str:
    """By how much the best setting is better than the next one, as the end of a sentence; empty if not compared."""
    second = min((name for name in groups if name != best), key=groups.__getitem__)
    row = next((row for row in rows if second in row.groups), None)
    if row is None or (row.nats < 0) == (row.groups[0] == best):
        return ""
    size = f"lower by {percent(row.nats)}, {in_nats(row)}"
    if len(groups) == 2:
        return f" ({number(groups[second])}): {size}"
    unsure = "" if row.shown else ", no difference shown"
    return f"; the next is {second} ({number(groups[second])}): {size}{unsure}"


def _other(groups: Iterable[str], one: str) -> str:
    return next(name for name in groups if name != one)


def own_words(report: Figures) -> list[str]:
    groups = [
        (group.name, group.test, own) for group in report.groups if group.test and (own := group.test_free_running)
    ]
    if len(groups) < 2 or report.incomparable:
        return []
    truly_best, _, own = min(groups, key=lambda group: group[1].mean)
    best, _, lowest = min(groups, key=lambda group: group[2].mean)
    value = f"{best} ({number(lowest.mean)})"
    below = sum(is_below(lowest, figure) for _, _, figure in groups)
    other = _other((name for name, *_ in groups), best)
    if below:
        those = f"those of {below} of the {len(groups) - 1} other settings" if len(groups) > 2 else f"that of {other}"
        said = f"lowest {value}, its interval below {those}"
    else:
        those = f"any of the {len(groups) - 1} other settings" if len(groups) > 2 else other
        single = all(figure.low is None for *_, figure in groups)
        said = (
            f"lowest {value}, "
            + ("one run each, not tested against " if single else "not shown to differ from ")
            + those
        )
    if truly_best != best:
        tested = "" if lowest.low is None or own.low is None else f" ({apart(lowest, own)})"
        said += f"; {truly_best}, lowest on true words, has {number(own.mean)}{tested}"
    return [f"Test perplexity when fed their own words: {said}."]


def _circles(report: Figures) -> list[str]:
    found = [run.quality for run in report.runs if run.quality]
    if not found:
        return []
    greedy, random = (
        f"{sum(text.by(sampler).loops for text in found)} of {sum(text.by(sampler).sequences for text in found)}"
        for sampler in SAMPLERS
    )
    return [f"Greedy sampling ends in a loop in {greedy} texts, random sampling in {random}."]


def _related(report: Figures) -> list[str]:
    rows = [row.change for row in report.related if row.kind == "cosine" and row.change]
    if not rows:
        return []
    closer, apart = (sum(part.excludes(0) and sign * part.mean > 0 for part in rows) for sign in (1, -1))
    return [
        f"In {closer} of {len(rows)} settings training brought related words closer together (cosine) than the same "
        f"words paired otherwise, by more than chance over pairs; in {apart} further apart."
    ]


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
