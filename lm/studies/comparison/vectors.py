"""What embeddings say, beside what they said before any training and beside those of other runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from lm.evaluation.word_distances import distance

PAIRS = 5000


def isotropy(embedding: Tensor) -> float:
    """How evenly the vectors [V, E] use their E directions: 1 for a round cloud around zero, 1 / E for a single line.

    The participation ratio of the eigenvalues of the second moment, (sum l)^2 / (E sum l^2), which V vectors drawn
    from a round cloud reach up to a factor 1 / (1 + E / V).
    """
    x = embedding.double()
    moment = x.T @ x / len(x)
    return float(moment.trace() ** 2 / (moment.shape[0] * (moment**2).sum()))


def random_pairs(words: np.ndarray, pairs: int = PAIRS) -> np.ndarray:
    """Pairs of different words out of ids [K], always the same ones: [P, 2]."""
    generator = np.random.default_rng(0)
    first = generator.integers(0, len(words), pairs)
    second = (first + generator.integers(1, len(words), pairs)) % len(words)
    return np.stack([words[first], words[second]], axis=1)


def pair_distances(embedding: Tensor, pairs: np.ndarray) -> dict[str, np.ndarray]:
    """Euclidean and cosine distances of pairs [P, 2] of words in embedding [V, E]."""
    a, b = (embedding[torch.from_numpy(pairs[:, i].astype(np.int64))].double() for i in (0, 1))
    cosine = 1 - F.cosine_similarity(a, b)
    return {"euclidean": torch.linalg.vector_norm(a - b, dim=1).numpy(), "cosine": cosine.numpy()}


def spread(values: np.ndarray) -> dict[str, float]:
    """Mean, and the range that holds the middle 95%."""
    low, high = np.quantile(values, [0.025, 0.975])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def displacement(embedding: Tensor, initial: Tensor, words: np.ndarray) -> dict[str, float]:
    """How far words [K] moved since initialisation: the mean distance, and as a share of their initial lengths."""
    at = torch.from_numpy(words.astype(np.int64))
    moved = torch.linalg.vector_norm((embedding[at] - initial[at]).double(), dim=1).mean()
    return {
        "mean": float(moved),
        "relative": float(moved / torch.linalg.vector_norm(initial[at].double(), dim=1).mean()),
    }


def measure(
    embedding: Tensor, initial: Tensor | None, pairs: dict[tuple[str, str], tuple[int, int]], frequent: np.ndarray
) -> dict[str, Any]:
    """All that is said of one run's embedding [V, E]. `pairs`: words and their ids; `frequent`: ids [K]."""
    spans = {"trained": embedding, **({"initial": initial} if initial is not None else {})}
    drawn = random_pairs(frequent)
    found = {when: pair_distances(vectors, drawn) for when, vectors in spans.items()}
    listed = []
    for words, (i, j) in pairs.items():
        row: dict[str, Any] = {"words": list(words)}
        for kind in ("euclidean", "cosine"):
            values = {when: getattr(distance(v[i], v[j]), kind) for when, v in spans.items()}
            # The share of frequent pairs that lie closer together.
            row[kind] = {**values, "rank": float((found["trained"][kind] < values["trained"]).mean())}
        listed.append(row)
    return {
        "size": embedding.shape[1],
        "isotropy": {when: isotropy(vectors) for when, vectors in spans.items()},
        "frequent_pairs": {k: {when: spread(found[when][k]) for when in spans} for k in ("euclidean", "cosine")},
        "displacement": displacement(embedding, initial, frequent) if initial is not None else None,
        "pairs": listed,
    }


def agreement(a: Tensor, b: Tensor, frequent: np.ndarray, neighbours: int = 10) -> dict[str, float]:
    """How alike two embeddings [V, E] of one vocabulary order their words, among `frequent` ids [K].

    `neighbours`: the mean share of each word's nearest ones, by cosine, that both have. `rank_correlation`: Spearman's,
    of the cosine distances of the same random pairs.
    """
    at = torch.from_numpy(frequent.astype(np.int64))
    near = [_nearest(vectors[at], neighbours) for vectors in (a, b)]
    shared = [len(set(x) & set(y)) / neighbours for x, y in zip(*near, strict=True)]
    drawn = random_pairs(frequent)
    distances = [pair_distances(vectors, drawn)["cosine"] for vectors in (a, b)]
    return {"neighbours": float(np.mean(shared)), "rank_correlation": float(stats.spearmanr(*distances).statistic)}


def _nearest(vectors: Tensor, count: int) -> list[list[int]]:
    unit = F.normalize(vectors.double(), dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-torch.inf)
    nearest: list[list[int]] = similarity.topk(count, dim=1).indices.tolist()
    return nearest
