"""Distances between word embeddings, and nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Distance(NamedTuple):
    """Distances between vectors a and b: |a - b|, and 1 - cos(a, b), from 0 (same direction) to 2 (opposite)."""

    euclidean: float
    cosine: float


def distance(a: Tensor, b: Tensor) -> Distance:
    """The Euclidean and the cosine distance between two vectors [E], computed in float64."""
    a, b = a.detach().double(), b.detach().double()
    return Distance(float(torch.linalg.vector_norm(a - b)), float(1 - F.cosine_similarity(a, b, dim=0)))


class Spread(NamedTuple):
    """(Mean, standard deviation) of the Euclidean and of the cosine distance over many pairs of words."""

    euclidean: tuple[float, float]
    cosine: tuple[float, float]


def spread(embedding: Tensor, pairs: int = 2000) -> Spread:
    """Mean and standard deviation of distances in an embedding [V, E], over random pairs of words (fixed seed)."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(len(embedding), (pairs,), generator=generator)
    offset = torch.randint(1, len(embedding), (pairs,), generator=generator)
    a, b = embedding[first].double(), embedding[(first + offset) % len(embedding)].double()
    euclidean, cosine = torch.linalg.vector_norm(a - b, dim=1), 1 - F.cosine_similarity(a, b)
    return Spread(*((float(values.mean()), float(values.std())) for values in (euclidean, cosine)))


def neighbours(embedding: Tensor, word: int, count: int = 5) -> list[tuple[int, float]]:
    """The `count` other words nearest to `word` in an embedding [V, E]: pairs (id, cosine distance), nearest first."""
    unit = F.normalize(embedding.double(), dim=1)
    cosine = 1 - unit @ unit[word]
    cosine[word] = torch.inf
    nearest = cosine.topk(min(count, len(unit) - 1), largest=False)
    return list(zip(nearest.indices.tolist(), nearest.values.tolist(), strict=True))
