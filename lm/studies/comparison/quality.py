"""What generated text is like: how varied, whether it goes round in circles, how much of it is `<unk>`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lm.studies.comparison.ngram import TrigramModel

Sampler = Literal["greedy", "random"]
SAMPLERS: tuple[Sampler, ...] = ("greedy", "random")
ROUNDS = 3
"""A loop is what comes back at least so many times before the text ends."""


@dataclass(frozen=True)
class Quality:
    """What `sequences` texts of `words` words together are like."""

    sequences: int
    words: int
    distinct_1: float  # different n-grams / all n-grams
    distinct_2: float
    distinct_3: float
    unk: float  # the share of words
    ngram_nats: float | None  # nats a word; None without a judge
    loops: int  # texts that end in one
    loop_period: float | None  # words, median; None without loops, as the next one
    loop_begins: float | None

    @property
    def distinct(self) -> tuple[float, float, float]:
        """Of single words, pairs and triples."""
        return self.distinct_1, self.distinct_2, self.distinct_3


@dataclass(frozen=True)
class SampleQuality:
    """What a run writes is like, by each sampler."""

    greedy: Quality
    random: Quality

    def by(self, sampler: Sampler) -> Quality:
        return self.greedy if sampler == "greedy" else self.random


class Loop(NamedTuple):
    """From word `begins` (counted from 0) on the text repeats its last `period` words to its end."""

    begins: int
    period: int


def distinct(rows: Sequence[Sequence[int]], order: int) -> float:
    """Different n-grams / all n-grams, over all sequences together (Li et al. 2016). Falls with the amount of text."""
    found = [tuple(row[i : i + order]) for row in rows for i in range(len(row) - order + 1)]
    return len(set(found)) / len(found) if found else float("nan")


def loop(row: Sequence[int]) -> Loop | None:
    """The loop that a text ends in, by its shortest period; None if its end does not repeat itself `ROUNDS` times."""
    words = list(row)
    for period in range(1, len(words) // ROUNDS + 1):
        begins = len(words) - period
        while begins > 0 and words[begins - 1] == words[begins - 1 + period]:
            begins -= 1
        if len(words) - begins >= ROUNDS * period:
            return Loop(begins, period)
    return None


def quality(rows: NDArray[np.integer], unk: int, judge: TrigramModel | None) -> Quality:
    """Figures of word ids [N, T]; nats a word under `judge`, each sequence's first two words given."""
    texts = rows.tolist()
    loops = [found for found in map(loop, texts) if found]
    nats = float(np.mean([judge.nats(row).mean() for row in rows])) if judge else None
    return Quality(
        sequences=len(texts),
        words=int(rows.size),
        distinct_1=distinct(texts, 1),
        distinct_2=distinct(texts, 2),
        distinct_3=distinct(texts, 3),
        unk=float((rows == unk).mean()),
        ngram_nats=nats,
        loops=len(loops),
        loop_period=float(np.median([found.period for found in loops])) if loops else None,
        loop_begins=float(np.median([found.begins for found in loops])) if loops else None,
    )


def pieces(ids: NDArray[np.integer], sequences: int, words: int) -> NDArray[np.int64]:
    """Real text for comparison: up to `sequences` pieces of `words` words, spread evenly over ids [N]."""
    count = min(sequences, len(ids) // words)
    starts = np.linspace(0, max(0, len(ids) - words), count).astype(int)
    return np.array([ids[start : start + words] for start in starts], dtype=np.int64).reshape(count, words)
