"""Word vectors from the co-occurrence of words in a text (Levy, Goldberg & Dagan 2015)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

Ids = NDArray[np.integer]


def word_vectors(ids: Ids, vocab_size: int, size: int, reach: int) -> NDArray[np.float64]:
    """Word vectors [V, size] from neighbouring words: U sqrt(S) of the matrix that `neighbours` returns.

    If the matrix has a lower rank than `size`, the last columns are 0.
    """
    matrix = neighbours(ids, vocab_size, reach)
    kept = min(size, vocab_size - 1)
    start = np.random.default_rng(0).standard_normal(vocab_size)  # fixed, so that a text always gives the same vectors
    left, values, _ = svds(matrix, k=kept, v0=start)
    vectors = np.zeros((vocab_size, size))
    vectors[:, :kept] = left * np.sqrt(values)
    return vectors


def neighbours(ids: Ids, vocab_size: int, reach: int) -> sparse.csr_array:
    """Positive pointwise mutual information of words and neighbours [V, 2 * reach * V], divided by their distance.

    The probabilities of neighbours are smoothed: they are raised to the power 0.75.
    """
    blocks = []
    for distance in range(1, reach + 1):
        pairs = (ids[distance:], ids[:-distance])
        counts = sparse.coo_array((np.ones(len(ids) - distance), pairs), shape=(vocab_size, vocab_size)).tocsr()
        blocks += [information(counts) / distance, information(counts.T.tocsr()) / distance]
    return sparse.hstack(blocks).tocsr()


def information(counts: sparse.csr_array) -> sparse.csr_array:
    """Positive pointwise mutual information [V, V] in nats of rows (words) and columns (neighbours)."""
    found = counts.tocoo()
    words, around = counts.sum(axis=1), counts.sum(axis=0) ** 0.75
    nats = np.log(found.data / words[found.row] / (around / around.sum())[found.col])
    positive = sparse.coo_array((nats.clip(0), (found.row, found.col)), shape=counts.shape).tocsr()
    positive.eliminate_zeros()
    return positive
