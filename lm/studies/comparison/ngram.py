"""An n-gram model of the training text. It judges generated text independently of the LSTM."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Counts(NamedTuple):
    """Counts [n] of keys [n], keys in ascending order."""

    keys: NDArray[np.int64]
    counts: NDArray[np.int64]

    def of(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The counts of keys [m]; 0 for those never seen."""
        at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.counts[at], 0)


class TrigramModel:
    """An interpolated trigram with Witten-Bell smoothing (Witten & Bell 1991).

    With c(h) the number of words read after a history h, and T(h) the number of different ones,
    p(w | h) = (c(hw) + T(h) p(w | h')) / (c(h) + T(h)), where h' is h without its first word; the unigram is
    interpolated with the uniform distribution over the vocabulary. For an unseen history p(w | h) = p(w | h').
    """

    def __init__(self, ids: NDArray[np.integer], vocab_size: int) -> None:
        """Ids [N] of the training text, N > 2."""
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
        """One number for each n-gram of ids [N]: [N - order + 1]."""
        keys = np.zeros(len(ids) - order + 1, dtype=np.int64)
        for i in range(order):
            keys = keys * self.vocab_size + ids[i : len(ids) - order + 1 + i]
        return keys

    def nats(self, ids: NDArray[np.integer]) -> NDArray[np.float64]:
        """Ids [N] -> nats of each word from the third on, given the two before it: [N - 2]."""
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
