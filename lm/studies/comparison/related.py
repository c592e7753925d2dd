"""Are related words closer together than unrelated ones? Distances of twenty pairs of each, of the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lm.data.plain_text import decoded
from lm.data.vocabulary import Vocab
from lm.studies.comparison.json_form import LEFT_OUT
from lm.studies.comparison.statistics import Interval, over_seeds
from lm.studies.comparison.vectors import KINDS, Kind, pair_distances
from lm.system.errors import UserError

Words = tuple[str, str]

RELATED: tuple[Words, ...] = (
    ("million", "billion"),
    ("monday", "tuesday"),
    ("president", "chairman"),
    ("japan", "germany"),
    ("oil", "gas"),
    ("stocks", "bonds"),
    ("house", "senate"),
    ("computer", "software"),
    ("newspaper", "magazine"),
    ("men", "women"),
    ("army", "navy"),
    ("coffee", "sugar"),
    ("hotel", "restaurant"),
    ("lawyers", "attorneys"),
    ("film", "movie"),
    ("cars", "trucks"),
    ("baseball", "football"),
    ("agreement", "contract"),
    ("earthquake", "hurricane"),
    ("city", "town"),
)
"""Pairs of English news, chosen by meaning and by 40 occurrences in the Penn Treebank, before a model was looked at.

All are nouns, and both of a pair singular or plural, so that the unrelated pairs differ in little but meaning.
"""
FEWEST = 5
"""With fewer pairs than these no mean is given."""


@dataclass(frozen=True)
class PairsApart:
    """Distances of pairs of words, one for each pair, after and before training."""

    words: list[Words]
    trained: dict[Kind, list[float]]
    initial: dict[Kind, list[float]] | None = field(metadata=LEFT_OUT)  # None where the run did not keep it


@dataclass(frozen=True)
class Relatedness:
    """The distances of related and of unrelated pairs in a run's embedding; None with fewer than `FEWEST` pairs."""

    given: int
    left_out: list[Words]  # a word is not in the vocabulary
    counts: dict[str, int]  # how often each word occurs in the training text
    related: PairsApart | None
    unrelated: PairsApart | None


@dataclass(frozen=True)
class CloserThanUnrelated:
    """How much closer together related words are than unrelated ones, in the runs of a group.

    Means over pairs and runs. `trained` and `initial` are unrelated minus related, with an interval over pairs, whose
    distances are means over runs; `change` is the one minus the other.
    """

    group: str
    kind: Kind
    pairs: int
    runs: int
    related: float
    unrelated: float
    trained: Interval
    initial: Interval | None
    change: Interval | None
    confidence_of_all: float

    @property
    def verdict(self) -> Interval:
        """What training changed, free of where the words began; without the embedding before training, the rest."""
        return self.change or self.trained


def related_words(file: str | None) -> Sequence[Words]:
    """The related pairs: those of a file with two words a line, or `RELATED`. Raises UserError for any other line."""
    if file is None:
        return RELATED
    path = Path(file).expanduser()
    try:
        lines = decoded(path.read_bytes(), f"pairs: {file}").splitlines()
    except OSError as error:
        raise UserError(f"pairs: cannot read {file}: {error.strerror}; name a file with two words a line") from None
    found: list[Words] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        words = line.split()
        if len(set(words)) != 2 or len(words) != 2:
            raise UserError(f"pairs: {file}, line {number} is not two different words: {line[:60]!r}")
        if again := {word for pair in found for word in pair} & set(words):
            raise UserError(f"pairs: {file}, line {number} has {again.pop()!r} again; give each word once")
        found.append((words[0], words[1]))
    if len(found) < FEWEST:
        raise UserError(f"pairs: {file} has {len(found)} pairs; at least {FEWEST} are needed for a mean")
    return found


def unrelated_words(related: Sequence[Words]) -> list[Words]:
    """The same words paired otherwise: the first of each pair, and the second of the one half the list further on."""
    return [(first, related[(i + len(related) // 2) % len(related)][1]) for i, (first, _) in enumerate(related)]


def measure_related(
    given: Sequence[Words], vocab: Vocab, counts: NDArray[np.int64], embedding: Tensor, initial: Tensor | None
) -> Relatedness:
    """Measure the pairs whose words are both in the vocabulary.

    Args:
        given: the related pairs.
        vocab: the run's vocabulary, of V words.
        counts: how often each word occurs in the training text, [V].
        embedding: the embedding [V, E] after training.
        initial: the embedding [V, E] before training; None if the run did not save it.
    """
    known = [pair for pair in given if all(word in vocab for word in pair)]
    enough = len(known) >= FEWEST

    def apart(words: list[Words]) -> PairsApart:
        ids = np.array([[vocab.id(word) for word in pair] for pair in words])
        before = None if initial is None else _lists(initial, ids)
        return PairsApart(words, _lists(embedding, ids), before)

    return Relatedness(
        given=len(given),
        left_out=[pair for pair in given if pair not in known],
        counts={word: int(counts[vocab.id(word)]) for pair in known for word in pair},
        related=apart(known) if enough else None,
        unrelated=apart(unrelated_words(known)) if enough else None,
    )


def _lists(embedding: Tensor, ids: NDArray[np.int64]) -> dict[Kind, list[float]]:
    return {kind: values.tolist() for kind, values in pair_distances(embedding, ids).items()}


def closer(groups: Mapping[str, Sequence[Relatedness]], confidence: float) -> list[CloserThanUnrelated]:
    """For each group of runs and kind of distance: how much closer together related words are.

    The interval is Student's over pairs: of the distance from a word to its unrelated partner, minus that to its
    related one. It holds for these trained models. All intervals hold together with the given confidence, by
    Bonferroni's rule.
    """
    known = {name: [run for run in runs if run.related] for name, runs in groups.items()}
    known = {name: runs for name, runs in known.items() if runs}
    each = 1 - (1 - confidence) / max(1, 3 * len(KINDS) * len(known))
    return [_closer(name, kind, runs, each, confidence) for name, runs in known.items() for kind in KINDS]


def _closer(group: str, kind: Kind, runs: Sequence[Relatedness], each: float, of_all: float) -> CloserThanUnrelated:
    sides = [(run.related, run.unrelated) for run in runs if run.related and run.unrelated]
    related, unrelated = (np.mean([side.trained[kind] for side in every], axis=0) for every in zip(*sides, strict=True))
    apart = unrelated - related
    begun = [[side.initial[kind] for side in both if side.initial] for both in sides]
    before = None
    if all(len(both) == 2 for both in begun):
        before = np.mean([np.subtract(unrelated, related) for related, unrelated in begun], axis=0)
    return CloserThanUnrelated(
        group=group,
        kind=kind,
        pairs=len(apart),
        runs=len(runs),
        related=float(related.mean()),
        unrelated=float(unrelated.mean()),
        trained=over_seeds(apart.tolist(), each),
        initial=None if before is None else over_seeds(before.tolist(), each),
        change=None if before is None else over_seeds((apart - before).tolist(), each),
        confidence_of_all=of_all,
    )
