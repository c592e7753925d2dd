"""An n-gram model of the training text. It judges generated text independently of the LSTM."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Counts(NamedTuple):
    """A table of keys [n], in ascending order, and how often each key occurs, [n]."""

    keys: NDArray[np.int64]
    counts: NDArray[np.int64]

    def of(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each of the given keys [m] occurs; 0 for a key that was never seen."""
        at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.counts[at], 0)


class TrigramModel:
    """An interpolated trigram model with Witten-Bell smoothing (Witten & Bell 1991).

    With c(h) the number of words read after a history h, and T(h) the number of different ones,
    p(w | h) = (c(hw) + T(h) p(w | h')) / (c(h) + T(h)), where h' is h without its first word; the unigram is
    interpolated with the uniform distribution over the vocabulary. For an unseen history p(w | h) = p(w | h').
    """

    def __init__(self, ids: NDArray[np.integer], vocab_size: int) -> None:
        """Count the n-grams of a training text, given as word ids [N] with N > 2."""
        self.vocab_size = vocab_size
        self._words, self._followers = [], []
        for order in (1, 2, 3):
            keys = self._keys(ids.astype(np.int64), order)
            found = _Counts(*np.unique(keys, return_counts=True))
            self._words.append(found)
            # Each different n-gram is in `found` once, so the entries per history count its different next words.
            histories, start = np.unique(found.keys // vocab_size, return_index=True)
            kinds = np.diff([*start, len(found.keys)])
            self._followers.append(
                (_Counts(histories, np.add.reduceat(found.counts, start)), _Counts(histories, kinds))
            )

    def _keys(self, ids: NDArray[np.int64], order: int) -> NDArray[np.int64]:
        """Encode each n-gram of ids [N] as one number; n is `order`, and the result has shape [N - order + 1]."""
        keys = np.zeros(len(ids) - order + 1, dtype=np.int64)
        for i in range(order):
            keys = keys * self.vocab_size + ids[i : len(ids) - order + 1 + i]
        return keys

    def nats(self, ids: NDArray[np.integer]) -> NDArray[np.float64]:
        """Nats [N - 2] of the words with ids [N], from the third word on, each given the two words before it."""
        known = ids.astype(np.int64)
        probability = np.full(len(ids) - 2, 1 / self.vocab_size)
        for order, words, (seen, kinds) in zip((1, 2, 3), self._words, self._followers, strict=True):
            keys = self._keys(known, order)[3 - order :]
            history = keys // self.vocab_size
            c, t = seen.of(history), kinds.of(history)
            mixed = (words.of(keys) + t * probability) / np.maximum(c + t, 1)
            probability = np.where(c > 0, mixed, probability)
        found: NDArray[np.float64] = -np.log(probability)
        return found
