"""Tests whether groups of runs differ by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lm.studies.comparison.groups import Group
from lm.studies.comparison.measuring import Known, Refusal, Refused
from lm.studies.comparison.run_figures import RunFigures
from lm.studies.comparison.settings import Settings
from lm.studies.comparison.statistics import Interval, between_seeds, paired_bootstrap, segment_length
from lm.studies.comparison.texts import vocab_key
from lm.studies.comparison.vectors import KINDS, Kind, PairDistance

FIGURE = "the difference on the test text"
ALL_PAIRS = 8
"""Largest number of groups of which every pair is compared; if there are more, each is compared with the best."""


@dataclass(frozen=True)
class Difference:
    """Nats per token of the second group minus those of the first group, on the same `tokens` of the test text."""

    groups: tuple[str, str]
    nats: float
    over_text: Interval
    over_seeds: Interval
    tokens: int
    segment_tokens: int
    confidence_of_each: float  # of the interval over the text
    confidence_of_all: float
    shown: bool  # whether it is more than chance


@dataclass(frozen=True)
class DistanceDifference:
    """The distance between two words in the second group minus their distance in the first group."""

    words: tuple[str, str]
    kind: Kind
    groups: tuple[str, str]
    means: tuple[float, float]  # of each group's trained distances
    changes: tuple[float, float] | None  # by training; None where a run did not keep its initial embedding
    over_seeds: Interval  # of the changes; of the distances where changes are None
    confidence_of_all: float


def pairs_of(groups: list[Group]) -> list[tuple[Group, Group]]:
    """The pairs of groups to compare."""
    if len(groups) <= ALL_PAIRS:
        return list(combinations(groups, 2))
    best = min(groups, key=_mean_test)
    return [(best, group) for group in groups if group is not best]


def _mean_test(group: Group) -> float:
    """Mean test perplexity of a group over its seeds; infinite if no run of the group has a test perplexity."""
    found = [run.result["test"].get("perplexity") for run in group.runs]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else math.inf


def differences(
    groups: list[Group], known: dict[str, Known], refused: list[Refused], settings: Settings
) -> list[Difference]:
    """For each pair of groups: nats per token of the second minus those of the first, on their shared test text.

    The intervals of all pairs on one text hold together with the given confidence: over the text by Bonferroni's
    rule, over seeds by Tukey's. Pairs of groups on a different text are not counted among them. If only the pairs with
    the best group are listed, all pairs still count, because the same text chose the best group.
    """
    nats = {g.name: [n for n in (known[run.name].nats for run in g.runs) if n is not None] for g in groups}
    by_text: dict[str | None, list[tuple[str, str]]] = {}
    for a, b in pairs_of(groups):
        refusal = Refusal(refused, a.name, b.name)
        if not nats[a.name] or not nats[b.name]:
            refusal.note(FIGURE, "the nats of the test text are not known for one of them")
        elif reason := different_text([known[run.name] for group in (a, b) for run in group.runs]):
            refusal.note(FIGURE, reason)
        else:
            text = known[a.runs[0].name].text
            by_text.setdefault(text.key if text else None, []).append((a.name, b.name))
    return [row for pairs in by_text.values() for row in _of_one_text(pairs, nats, settings)]


def _of_one_text(
    pairs: list[tuple[str, str]], nats: dict[str, list[NDArray[np.float64]]], settings: Settings
) -> list[Difference]:
    """For pairs of groups that read the same text: the differences in nats per token, with intervals."""
    involved = list(dict.fromkeys(name for pair in pairs for name in pair))
    each = 1 - (1 - settings.confidence) / math.comb(len(involved), 2)
    shared = min(len(values) for name in involved for values in nats[name])
    seeds = between_seeds([[float(v[:shared].mean()) for v in nats[name]] for name in involved], settings.confidence)
    found = []
    for a_name, b_name in pairs:
        first, second = (np.mean([values[:shared] for values in nats[name]], axis=0) for name in (a_name, b_name))
        text = paired_bootstrap(first, second, each, settings.resamples, settings.seed)
        over_seeds = pick(seeds, involved.index(a_name), involved.index(b_name))
        found.append(
            Difference(
                groups=(a_name, b_name),
                nats=text.mean,
                over_text=text,
                over_seeds=over_seeds,
                tokens=shared,
                segment_tokens=segment_length(shared),
                confidence_of_each=each,
                confidence_of_all=settings.confidence,
                shown=_shown(text, over_seeds),
            )
        )
    return found


def pick(intervals: dict[tuple[int, int], Interval], i: int, j: int) -> Interval:
    """The interval of the difference j minus i; if `intervals` has only i minus j, this interval negated."""
    if (i, j) in intervals:
        return intervals[i, j]
    mean, low, high, over = intervals[j, i]
    return Interval(-mean, None if high is None else -high, None if low is None else -low, over)


def _shown(text: Interval, seeds: Interval) -> bool:
    """Whether a difference is more than chance: over the text, and also over seeds if there are several."""
    return text.excludes(0) and (seeds.low is None or seeds.excludes(0))


def different_text(ones: list[Known]) -> str | None:
    """The reason why results on the test text cannot be compared between these runs; None if they can."""
    names = list(dict.fromkeys(name for one in ones if (name := one.run.tokeniser_name)))
    if len(names) > 1:
        return f"their tokenisers differ ({', '.join(names)}), so that a token of one is not a token of the other"
    sizes = list({vocab_key(one.vocab): len(one.vocab) for one in ones if one.vocab}.values())
    if len(sizes) < 2:  # one whose weights cannot be read has at least its size in result.json
        written = (len(one.vocab) if one.vocab else one.run.result.get("vocabulary") for one in ones)
        sizes = list(dict.fromkeys(size for size in written if size is not None))
    if len(sizes) > 1:
        shown = " and ".join(f"{size:,}" for size in sizes)
        return f"their vocabularies differ ({shown} words), so that a token of one is not a token of the other"
    if any(one.text is None for one in ones) and any(one.text is not None for one in ones):
        return "the training text of one of them is not known (see what is missing for it)"
    if len({one.text.key if one.text else None for one in ones}) > 1:
        return "they were trained or tested on different texts"
    return None


def of_distances(groups: list[Group], rows: Sequence[RunFigures], confidence: float) -> list[DistanceDifference]:
    """For each pair of groups: the distances of the chosen words in the second minus those in the first.

    The intervals are over seeds. They compare how training changed a distance, which removes the scatter of the
    initial distances; if a run did not save its initial embedding, they compare the distance itself. All intervals
    hold together with the given confidence: Tukey's rule, and Bonferroni's over words and kinds of distance. Euclidean
    distances grow with the vectors' size and are compared only between equal sizes.
    """
    measured = {row.name: row.embeddings for row in rows if row.embeddings}
    families: dict[tuple[tuple[str, str], Kind, int], dict[str, list[PairDistance]]] = {}
    for group in groups:
        for own in (measured[run.name] for run in group.runs if run.name in measured):
            for pair in own.pairs:
                for kind in KINDS:
                    family = pair.words, kind, own.size if kind == "euclidean" else 0
                    families.setdefault(family, {}).setdefault(group.name, []).append(pair.by(kind))
    each = 1 - (1 - confidence) / max(1, len(families))
    found = []
    for (words, kind, _), values in families.items():
        changes = [[v.trained - v.initial for v in side if v.initial is not None] for side in values.values()]
        trained = [[v.trained for v in side] for side in values.values()]
        started = all(len(some) == len(every) for some, every in zip(changes, trained, strict=True))
        names, seeds = list(values), between_seeds(changes if started else trained, each)
        for a, b in pairs_of(groups):
            if a.name in values and b.name in values:
                i, j = names.index(a.name), names.index(b.name)
                found.append(
                    DistanceDifference(
                        words=words,
                        kind=kind,
                        groups=(a.name, b.name),
                        means=(float(np.mean(trained[i])), float(np.mean(trained[j]))),
                        changes=(float(np.mean(changes[i])), float(np.mean(changes[j]))) if started else None,
                        over_seeds=pick(seeds, i, j),
                        confidence_of_all=confidence,
                    )
                )
    return found
