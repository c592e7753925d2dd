"""Measures embeddings, and compares them with the embeddings before training and with those of different runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from lm.evaluation.word_distances import Distance, distance
from lm.studies.comparison.json_form import LEFT_OUT

PAIRS = 5000
Kind = Literal["euclidean", "cosine"]
"""The kinds of distance between two word vectors."""
KINDS: tuple[Kind, ...] = ("euclidean", "cosine")


@dataclass(frozen=True)
class Spread:
    """The mean of many distances, and the range of their middle 95%."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Spreads:
    """The spread of the distances of many word pairs, after and before training."""

    trained: Spread
    initial: Spread | None = field(metadata=LEFT_OUT)  # None where the run did not keep it


@dataclass(frozen=True)
class FrequentPairs:
    """The spread of the distances between random pairs of frequent words, for each kind of distance."""

    euclidean: Spreads
    cosine: Spreads

    def by(self, kind: Kind) -> Spreads:
        return self.euclidean if kind == "euclidean" else self.cosine


@dataclass(frozen=True)
class PairDistance:
    """The distance between two words, of one kind (Euclidean or cosine), after and before training."""

    trained: float
    initial: float | None = field(metadata=LEFT_OUT)
    rank: float  # the share of random frequent pairs that are closer together after training


@dataclass(frozen=True)
class Pair:
    """A pair of words, and the measurements on their vectors."""

    words: tuple[str, str]
    euclidean: PairDistance
    cosine: PairDistance
    counts: tuple[int, int]  # how often each occurs in the training text

    def by(self, kind: Kind) -> PairDistance:
        return self.euclidean if kind == "euclidean" else self.cosine


@dataclass(frozen=True)
class Isotropy:
    """How evenly vectors use their directions (see the function `isotropy`), after and before training."""

    trained: float
    initial: float | None = field(metadata=LEFT_OUT)


@dataclass(frozen=True)
class Displacement:
    """How far word vectors moved from their initial values: the mean distance, also as a share of the mean length.

    The mean length is that of the initial vectors.
    """

    mean: float
    relative: float


@dataclass(frozen=True)
class Embeddings:
    """The measurements on one run's embedding, which has `size` dimensions."""

    size: int
    isotropy: Isotropy
    frequent_pairs: FrequentPairs
    displacement: Displacement | None  # None where the run did not keep its initial embedding
    pairs: list[Pair]


@dataclass(frozen=True)
class Agreement:
    """How similarly two embeddings order their words (see the function `agreement`)."""

    neighbours: float
    rank_correlation: float


def isotropy(embedding: Tensor) -> float:
    """How evenly the vectors [V, E] use their E directions: 1 for a round cloud around zero, 1 / E for a single line.

    This is the participation ratio (sum l)^2 / (E sum l^2) of the eigenvalues l of the second moment. V vectors drawn
    from a round cloud have about 1 / (1 + E / V).
    """
    x = embedding.double()
    moment = x.T @ x / len(x)
    return float(moment.trace() ** 2 / (moment.shape[0] * (moment**2).sum()))


def random_pairs(words: NDArray[np.int64], pairs: int = PAIRS) -> NDArray[np.int64]:
    """Random pairs [P, 2] of different words from ids [K]; always the same pairs for the same ids."""
    generator = np.random.default_rng(0)
    first = generator.integers(0, len(words), pairs)
    second = (first + generator.integers(1, len(words), pairs)) % len(words)
    return np.stack([words[first], words[second]], axis=1)


def pair_distances(embedding: Tensor, pairs: NDArray[np.int64]) -> dict[Kind, NDArray[np.float64]]:
    """Euclidean and cosine distances of pairs [P, 2] of words in embedding [V, E]."""
    a, b = (embedding[torch.from_numpy(pairs[:, i].astype(np.int64))].double() for i in (0, 1))
    cosine = 1 - F.cosine_similarity(a, b)
    return {"euclidean": torch.linalg.vector_norm(a - b, dim=1).numpy(), "cosine": cosine.numpy()}


def spread(values: NDArray[np.float64]) -> Spread:
    low, high = np.quantile(values, [0.025, 0.975])
    return Spread(float(values.mean()), float(low), float(high))


def displacement(embedding: Tensor, initial: Tensor, words: NDArray[np.int64]) -> Displacement:
    """How far the vectors of the words with ids [K] moved, from `initial` [V, E] to `embedding` [V, E]."""
    at = torch.from_numpy(words.astype(np.int64))
    moved = torch.linalg.vector_norm((embedding[at] - initial[at]).double(), dim=1).mean()
    return Displacement(float(moved), float(moved / torch.linalg.vector_norm(initial[at].double(), dim=1).mean()))


def measure(
    embedding: Tensor,
    initial: Tensor | None,
    pairs: dict[tuple[str, str], tuple[int, int]],
    frequent: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> Embeddings:
    """Measure one run's embedding.

    Args:
        embedding: the embedding [V, E] after training.
        initial: the embedding [V, E] before training; None if the run did not save it.
        pairs: the pairs of words to measure, with their ids.
        frequent: ids [K] of the most frequent words.
        counts: how often each word occurs in the training text, [V].
    """
    drawn = random_pairs(frequent)
    trained = pair_distances(embedding, drawn)
    before = pair_distances(initial, drawn) if initial is not None else None

    def spreads(kind: Kind) -> Spreads:
        return Spreads(spread(trained[kind]), spread(before[kind]) if before is not None else None)

    def pair_distance(kind: Kind, i: int, j: int) -> PairDistance:
        now = _of_kind(distance(embedding[i], embedding[j]), kind)
        start = _of_kind(distance(initial[i], initial[j]), kind) if initial is not None else None
        return PairDistance(now, start, rank=float((trained[kind] < now).mean()))

    return Embeddings(
        size=embedding.shape[1],
        isotropy=Isotropy(isotropy(embedding), isotropy(initial) if initial is not None else None),
        frequent_pairs=FrequentPairs(spreads("euclidean"), spreads("cosine")),
        displacement=displacement(embedding, initial, frequent) if initial is not None else None,
        pairs=[
            Pair(
                words, pair_distance("euclidean", i, j), pair_distance("cosine", i, j), (int(counts[i]), int(counts[j]))
            )
            for words, (i, j) in pairs.items()
        ],
    )


def _of_kind(both: Distance, kind: Kind) -> float:
    return both.euclidean if kind == "euclidean" else both.cosine


def agreement(a: Tensor, b: Tensor, frequent: NDArray[np.int64], neighbours: int = 10) -> Agreement:
    """How similarly two embeddings [V, E] of one vocabulary order the words with ids `frequent` [K].

    In the result, `neighbours` is the mean share of a word's nearest words (by cosine) that are the same in both
    embeddings. `rank_correlation` is Spearman's correlation of the cosine distances of the same random pairs.
    """
    at = torch.from_numpy(frequent.astype(np.int64))
    near = [_nearest(vectors[at], neighbours) for vectors in (a, b)]
    shared = [len(set(x) & set(y)) / neighbours for x, y in zip(*near, strict=True)]
    drawn = random_pairs(frequent)
    distances = [pair_distances(vectors, drawn)["cosine"] for vectors in (a, b)]
    return Agreement(float(np.mean(shared)), float(stats.spearmanr(*distances).statistic))


def _nearest(vectors: Tensor, count: int) -> list[list[int]]:
    unit = F.normalize(vectors.double(), dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-torch.inf)
    nearest: list[list[int]] = similarity.topk(count, dim=1).indices.tolist()
    return nearest
