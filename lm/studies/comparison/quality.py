"""Measures the quality of generated text: variety, endless loops, share of `<unk>`, and how surprising it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lm.studies.comparison.json_form import IN_PLACE
from lm.studies.comparison.ngram import TrigramModel
from lm.studies.comparison.statistics import Interval, between_means

Sampler = Literal["greedy", "random"]
SAMPLERS: tuple[Sampler, ...] = ("greedy", "random")
Judge = Literal["n-gram model", "own model"]
"""Whose nats of a text: those of an n-gram model of the training text, or of the model that wrote the text."""
ROUNDS = 3
"""Minimum number of times that the last words of a text must occur in a row to count as a loop."""


@dataclass(frozen=True)
class Quality:
    """Measures of the quality of `sequences` texts with `words` words in total."""

    sequences: int
    words: int
    distinct_1: float  # different n-grams / all n-grams
    distinct_2: float
    distinct_3: float
    unk: float  # the share of words
    ngram_nats: float | None  # nats a word, the mean over texts; None without a judge, like the next field
    ngram_nats_of_texts: list[float] | None
    loops: int  # texts that end in a loop
    loop_period: float | None  # words, median; None without loops, like the next field
    loop_begins: float | None
    surprisal: float | None = None  # nats a word under the model that wrote the texts, like the two n-gram fields
    surprisal_of_texts: list[float] | None = None

    def nats_of_texts(self, judge: Judge) -> list[float] | None:
        return self.ngram_nats_of_texts if judge == "n-gram model" else self.surprisal_of_texts


@dataclass(frozen=True)
class AtTemperature:
    """The quality of texts that were drawn at a temperature."""

    temperature: float
    quality: Quality = field(metadata=IN_PLACE)


@dataclass(frozen=True)
class SampleQuality:
    """The quality of a run's samples: greedy, drawn at temperature 1 (`random`), and at other temperatures.

    `real` is that of real test text for this run's model; None without a text.
    """

    greedy: Quality
    random: Quality
    tempered: list[AtTemperature] = field(default_factory=list)
    real: Quality | None = None

    def by(self, sampler: Sampler) -> Quality:
        return self.greedy if sampler == "greedy" else self.random

    @property
    def by_temperature(self) -> dict[float, Quality]:
        """The quality of drawn texts by temperature, the lowest first."""
        every = [AtTemperature(1.0, self.random), *self.tempered]
        return {one.temperature: one.quality for one in sorted(every, key=lambda one: one.temperature)}


@dataclass(frozen=True)
class AgainstReal:
    """Nats a word for a judge: those of a run's texts by one sampler, minus those of real text."""

    run: str
    sampler: Sampler
    judge: Judge
    written: float  # mean over texts, like the next field
    real: float
    over_texts: Interval
    confidence_of_all: float


class Loop(NamedTuple):
    """A loop at the end of a text: from word `begins` (counted from 0) on, it repeats its last `period` words."""

    begins: int
    period: int


def distinct(rows: Sequence[Sequence[int]], order: int) -> float:
    """Number of different n-grams / number of all n-grams in all sequences (Li et al. 2016). Falls with more text."""
    found = [tuple(row[i : i + order]) for row in rows for i in range(len(row) - order + 1)]
    return len(set(found)) / len(found) if found else float("nan")


def loop(row: Sequence[int]) -> Loop | None:
    """The loop with the shortest period that ends the text; None if it does not end in a loop."""
    words = list(row)
    for period in range(1, len(words) // ROUNDS + 1):
        begins = len(words) - period
        while begins > 0 and words[begins - 1] == words[begins - 1 + period]:
            begins -= 1
        if len(words) - begins >= ROUNDS * period:
            return Loop(begins, period)
    return None


def quality(
    rows: NDArray[np.integer], unk: int, judge: TrigramModel | None, surprisal: Sequence[float] | None = None
) -> Quality:
    """Quality of texts with word ids [N, T]. The model `judge` gives nats per word, from the third word on.

    `surprisal` [N]: nats per word of each text under the model that wrote it.
    """
    texts = rows.tolist()
    loops = [found for found in map(loop, texts) if found]
    nats = [float(judge.nats(row).mean()) for row in rows] if judge else None
    return Quality(
        sequences=len(texts),
        words=int(rows.size),
        distinct_1=distinct(texts, 1),
        distinct_2=distinct(texts, 2),
        distinct_3=distinct(texts, 3),
        unk=float((rows == unk).mean()),
        ngram_nats=float(np.mean(nats)) if nats else None,
        ngram_nats_of_texts=nats,
        loops=len(loops),
        loop_period=float(np.median([found.period for found in loops])) if loops else None,
        loop_begins=float(np.median([found.begins for found in loops])) if loops else None,
        surprisal=float(np.mean(surprisal)) if surprisal else None,
        surprisal_of_texts=list(surprisal) if surprisal else None,
    )


def against_real(written: Mapping[str, SampleQuality], confidence: float) -> list[AgainstReal]:
    """For each run, sampler and judge: the nats of its texts, minus those of real text.

    The texts of a run are independent draws of one trained model. All intervals hold together with the given
    confidence, by Bonferroni's rule.
    """
    known = [
        (run, sampler, judge, before, after)
        for run, quality in written.items()
        for sampler in SAMPLERS
        for judge in get_args(Judge)
        if quality.real
        and (before := quality.real.nats_of_texts(judge))
        and (after := quality.by(sampler).nats_of_texts(judge))
    ]
    each = 1 - (1 - confidence) / max(1, len(known))
    return [
        AgainstReal(run, name, judge, float(np.mean(b)), float(np.mean(a)), between_means(a, b, each), confidence)
        for run, name, judge, a, b in known
    ]


def pieces(ids: NDArray[np.integer], sequences: int, words: int) -> NDArray[np.int64]:
    """At most `sequences` excerpts [., `words`], evenly spaced over a real text of ids [N]."""
    count = min(sequences, len(ids) // words)
    starts = np.linspace(0, max(0, len(ids) - words), count).astype(int)
    return np.array([ids[start : start + words] for start in starts], dtype=np.int64).reshape(count, words)
