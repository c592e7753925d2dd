"""An n-gram model of a training text with Kneser-Ney smoothing, the classic rival and partner of a neural model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lm.system.errors import UserError


class _Level(NamedTuple):
    """All n-grams of one length n in the training text, and what the model adds to the estimate of length n - 1.

    The key of an n-gram is the place of its first n - 1 words in the table of that length, times V, plus its last word.
    Keys therefore stay below N V, and an n-gram of any length fits into 64 bits.
    """

    keys: np.ndarray  # int64 [m], ascending
    shares: np.ndarray
    """float64 [m + 1]: (c - D) / total for each n-gram; the last is 0, so that place -1 means never seen."""
    rest: np.ndarray
    """float64 [contexts + 1]: the weight of the shorter context's estimate, 1 if no word followed. The last is 1."""

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The places [n] of the keys [n]; -1 for a key that is not there, as for every negative one."""
        at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[at] == keys, at, -1)


class KneserNey:
    """Interpolated modified Kneser-Ney smoothing (Chen & Goodman 1999), with three discounts for each length.

    p(w | h) = (c(hw) - D(c(hw))) / c(h) + rest(h) p(w | h'), where h' is h without its first word, c(h) is the sum of
    c(hw) over all words w, and rest(h) is what the discounts took away, divided by c(h). For a context that no word
    followed in the training text, p(w | h) = p(w | h'). Below the single words is the uniform distribution over the
    vocabulary, so that every word is possible.

    c counts how often an n-gram of the full length occurs. For a shorter one it counts the different words to its left.
    The text's first words have none: its beginning counts as one more such word, so that every n-gram has a count.

    The text is one stream: n-grams cross the ends of lines and of documents.

    Args:
        ids: word ids [N] of the training text, in 0 .. V - 1.
        order: the length of the longest n-grams; 1 knows only how frequent the words are.
        vocab_size: V.

    Raises:
        UserError: for an order below 1, a text of fewer words than the order, or ids outside the vocabulary; the last
            also from the methods.
    """

    def __init__(self, ids: np.ndarray, order: int, vocab_size: int) -> None:
        if order < 1:
            raise UserError(f"an n-gram model needs an order of at least 1, not {order}; 5 is usual")
        if len(ids) < order:
            raise UserError(
                f"the training text has {len(ids)} tokens, too few for n-grams of {order}: "
                "give a longer text or a smaller order"
            )
        self.order, self.vocab_size = order, vocab_size
        text = self._checked(ids)
        keys: list[np.ndarray] = []
        counts: list[np.ndarray] = []
        before = np.zeros(len(text) + 1, np.int64)  # the place of the n - 1 words before each word, from word n - 1 on
        for n in range(1, order + 1):
            found, at = np.unique(before[n - 1 : -1] * vocab_size + text[n - 1 :], return_inverse=True)
            if n > 1:  # each different n-gram is one left neighbour of its last n - 1 words
                ending = np.empty(len(found), np.int64)
                ending[at] = before[n:]
                counts.append(np.bincount(ending, minlength=len(keys[-1])))
                counts[-1][before[n - 1]] += 1  # the beginning of the text
            keys.append(found)
            before[n:] = at
        counts.append(np.bincount(at))
        contexts = [1, *map(len, keys[:-1])]
        self._levels = [self._level(*level) for level in zip(keys, counts, contexts, strict=True)]

    def nats(self, ids: np.ndarray) -> np.ndarray:
        """Nats [n - 1], in float64, of the words with ids [n] from the second on.

        Each is given the words before it in `ids`, at most order - 1 of them. The first is context only.
        """
        words = self._checked(ids)
        probability = np.full(len(words), 1 / self.vocab_size)
        before = np.zeros(len(words) + 1, np.int64)
        for level in self._levels:
            at = level.find(before[:-1] * self.vocab_size + words)
            probability = level.shares[at] + level.rest[before[:-1]] * probability
            before = np.append(-1, at)
        found: np.ndarray = -np.log(probability[1:])
        return found

    def probabilities(self, context: np.ndarray) -> np.ndarray:
        """The probabilities [V], in float64, of all words after a context [n]; n is any length, also 0."""
        words = self._checked(context)[max(0, len(context) - self.order + 1) :]
        probability = np.full(self.vocab_size, 1 / self.vocab_size)
        before = np.zeros(len(words) + 1, np.int64)
        for level in self._levels:
            first = before[-1] * self.vocab_size
            start, end = np.searchsorted(level.keys, (first, first + self.vocab_size))
            probability *= level.rest[before[-1]]
            probability[level.keys[start:end] - first] += level.shares[start:end]
            before = np.append(-1, level.find(before[:-1] * self.vocab_size + words))
        return probability

    def _level(self, keys: np.ndarray, counts: np.ndarray, contexts: int) -> _Level:
        """The table of one length, from its keys [m], their counts [m] and the number of shorter n-grams."""
        discounts = _discounts(counts)[counts.clip(max=3) - 1]
        context = keys // self.vocab_size
        total = np.bincount(context, counts, contexts)
        taken = np.bincount(context, discounts, contexts)
        rest = np.divide(taken, total, out=np.ones(contexts), where=total > 0)
        return _Level(keys, np.append((counts - discounts) / total[context], 0), np.append(rest, 1))

    def _checked(self, ids: np.ndarray) -> np.ndarray:
        """The ids [n] as int64. An id outside the vocabulary would be taken for another word after another context."""
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.vocab_size:
            raise UserError(
                f"ids must lie in 0 .. {self.vocab_size - 1}, not {ids.min()} .. {ids.max()}: "
                "encode the text with the vocabulary of the n-gram model"
            )
        return np.asarray(ids, np.int64)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """The discounts [3] of n-grams with a count of 1, of 2, and of 3 or more; all > 0, none larger than its count.

    In a small or odd text the formulas for three may divide by zero or leave these bounds. Then one discount is used
    for all counts, as Kneser & Ney (1995) estimate it; and if that is not possible either, 0.5.
    """
    n1, n2, n3, n4 = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if not (n1 and n2):
        return np.full(3, 0.5)
    one = n1 / (n1 + 2 * n2)
    if n3:
        three = np.array([one, 2 - 3 * one * n3 / n2, 3 - 4 * one * n4 / n3])
        if n4 and (three > 0).all():
            return three
    return np.full(3, one)
