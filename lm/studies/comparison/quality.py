"""What generated text is like: how varied, whether it goes round in circles, how much of it is `<unk>`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lm.studies.comparison.ngram import TrigramModel

ROUNDS = 3
"""A loop is what comes back at least so many times before the text ends."""


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


def quality(rows: np.ndarray, unk: int, judge: TrigramModel | None) -> dict[str, Any]:
    """Figures of word ids [N, T]; nats a word under `judge`, each sequence's first two words given."""
    texts = rows.tolist()
    loops = [found for found in map(loop, texts) if found]
    nats = float(np.mean([judge.nats(row).mean() for row in rows])) if judge else None
    return {
        "sequences": len(texts),
        "words": int(rows.size),
        **{f"distinct_{order}": distinct(texts, order) for order in (1, 2, 3)},
        "unk": float((rows == unk).mean()),
        "ngram_nats": nats,
        "loops": len(loops),
        "loop_period": float(np.median([found.period for found in loops])) if loops else None,
        "loop_begins": float(np.median([found.begins for found in loops])) if loops else None,
    }


def pieces(ids: np.ndarray, sequences: int, words: int) -> np.ndarray:
    """Real text for comparison: up to `sequences` pieces of `words` words, spread evenly over ids [N]."""
    count = min(sequences, len(ids) // words)
    starts = np.linspace(0, max(0, len(ids) - words), count).astype(int)
    return np.array([ids[start : start + words] for start in starts], dtype=np.int64).reshape(count, words)
