"""Whether groups of runs differ by more than chance, and how alike their embeddings are."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np

from lm.comparison import vectors
from lm.comparison.groups import Group
from lm.comparison.measuring import Known, Refusal
from lm.comparison.statistics import Interval, between_seeds, paired_bootstrap, segment_length
from lm.comparison.texts import vocab_key
from lm.comparison.trained import Settings

ALL_PAIRS = 8
"""Groups up to which every pair is compared; of more, each with the best."""


def pairs_of(groups: list[Group]) -> list[tuple[Group, Group]]:
    """The pairs of groups to compare."""
    if len(groups) <= ALL_PAIRS:
        return list(combinations(groups, 2))
    best = min(groups, key=lambda group: group.runs[0].result["valid"].get("perplexity") or math.inf)
    return [(best, group) for group in groups if group is not best]


def differences(
    groups: list[Group], known: dict[str, Known], refused: list[dict[str, Any]], settings: Settings
) -> list[dict[str, Any]]:
    """Nats a token on the shared test text, each pair of groups: the second's minus the first's.

    The intervals of all pairs hold together with the confidence asked for (Bonferroni).
    """
    pairs = pairs_of(groups)
    each = 1 - (1 - settings.confidence) / max(1, len(pairs))
    found = []
    for a, b in pairs:
        ones = [[known[run.name] for run in group.runs] for group in (a, b)]
        refusal = Refusal(refused, a.name, b.name)
        nats = [[one.nats for one in side if one.nats is not None] for side in ones]
        if not all(nats):
            refusal.note("the difference on the test text", "the nats of the test text of one of them are not known")
            continue
        if reason := different_text([one for side in ones for one in side]):
            refusal.note("the difference on the test text", reason)
            continue
        shared = min(len(values) for side in nats for values in side)
        first, second = (np.mean([values[:shared] for values in side], axis=0) for side in nats)
        text = paired_bootstrap(first, second, each, settings.resamples, settings.seed)
        means = [[float(values[:shared].mean()) for values in side] for side in nats]
        seeds = between_seeds(means[0], means[1], each)
        found.append(
            {
                "groups": [a.name, b.name],
                "nats": text.mean,
                "over_text": text._asdict(),
                "over_seeds": seeds._asdict(),
                "tokens": shared,
                "segment_tokens": segment_length(shared),
                "confidence_of_each": each,
                "confidence_of_all": settings.confidence,
                "shown": _shown(text, seeds),
            }
        )
    return found


def _shown(text: Interval, seeds: Interval) -> bool:
    """Whether a difference is beyond chance: of the text, and of the seeds where there are several."""
    return text.excludes(0) and (seeds.low is None or seeds.excludes(0))


def different_text(ones: list[Known]) -> str | None:
    """Why figures of a text must not be compared between these runs; None if they may."""
    vocabs = {vocab_key(one.vocab): len(one.vocab) for one in ones if one.vocab}
    if len(vocabs) > 1:
        sizes = " and ".join(f"{size:,}" for size in vocabs.values())
        return f"their vocabularies differ ({sizes} words), so that a token of one is not a token of the other"
    if len({one.text.key if one.text else None for one in ones}) > 1:
        return "they were trained or tested on different texts"
    return None


def agreement(
    groups: list[Group], known: dict[str, Known], refused: list[dict[str, Any]], settings: Settings
) -> list[dict[str, Any]]:
    """How alike the embeddings of two runs are: two seeds of each group, and the first runs of two groups."""
    pairs = [(group.runs[0], group.runs[1]) for group in groups if len(group.runs) > 1]
    pairs += [(a.runs[0], b.runs[0]) for a, b in pairs_of(groups)]
    found = []
    for a, b in pairs:
        x, y = known[a.name], known[b.name]
        refusal = Refusal(refused, a.name, b.name)
        if x.embedding is None or y.embedding is None or x.text is None or y.text is None:
            continue
        if vocab_key(x.text.vocab) != vocab_key(y.text.vocab):
            refusal.note("agreement of the embeddings", different_text([x, y]) or "")
            continue
        frequent = x.text.frequent(settings.frequent)
        count = min(settings.neighbours, len(frequent) - 1)
        at_start = None
        if x.initial is not None and y.initial is not None:
            at_start = vectors.agreement(x.initial, y.initial, frequent, count)
        found.append(
            {
                "runs": [a.name, b.name],
                "same_group": any(a in group.runs and b in group.runs for group in groups),
                "trained": vectors.agreement(x.embedding, y.embedding, frequent, count),
                "initial": at_start,
                "neighbours_by_chance": count / (len(frequent) - 1),
                "neighbours": count,
                "words": len(frequent),
            }
        )
    return found


def of_distances(groups: list[Group], rows: list[dict[str, Any]], confidence: float) -> list[dict[str, Any]]:
    """How the distances of the words asked for differ between two groups: the second's minus the first's.

    The intervals, over seeds, hold together with the confidence asked for (Bonferroni). Euclidean distances grow with
    the vectors' size and are compared between equal sizes only.
    """
    sizes = {row["name"]: row["embeddings"]["size"] for row in rows if row["embeddings"]}
    measured = {row["name"]: row["embeddings"]["pairs"] for row in rows if row["embeddings"]}
    found = []
    for a, b in pairs_of(groups):
        sides = [[measured[run.name] for run in group.runs if run.name in measured] for group in (a, b)]
        if not all(sides):
            continue
        words = [[pair["words"] for pair in side[0]] for side in sides]
        for at, pair in enumerate(words[0]):
            if words[0] != words[1]:
                continue
            same_size = len({sizes[run.name] for group in (a, b) for run in group.runs if run.name in sizes}) == 1
            for kind in ("euclidean", "cosine") if same_size else ("cosine",):
                values = [[float(pairs[at][kind]["trained"]) for pairs in side] for side in sides]
                found.append((pair, kind, [a.name, b.name], values))
    each = 1 - (1 - confidence) / max(1, len(found))
    return [
        {
            "words": pair,
            "kind": kind,
            "groups": names,
            "means": [float(np.mean(side)) for side in values],
            "over_seeds": between_seeds(values[0], values[1], each)._asdict(),
            "confidence_of_each": each,
        }
        for pair, kind, names, values in found
    ]
