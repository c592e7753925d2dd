"""What the word embeddings say: distances between pairs, and nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Distance(NamedTuple):
    """Of two vectors: |a - b|, and 1 - cos(a, b), which is 0 for the same direction, 1 for right angles, 2 at most."""

    euclidean: float
    cosine: float


def distance(a: Tensor, b: Tensor) -> Distance:
    """Two vectors [E] -> their distances, in float64."""
    a, b = a.detach().double(), b.detach().double()
    return Distance(float(torch.linalg.vector_norm(a - b)), float(1 - F.cosine_similarity(a, b, dim=0)))


class Spread(NamedTuple):
    """What pairs of words give: mean and standard deviation of both distances."""

    euclidean: tuple[float, float]
    cosine: tuple[float, float]


def spread(embedding: Tensor, pairs: int = 2000) -> Spread:
    """An embedding [V, E] -> the spread of its distances over random pairs of different words, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(len(embedding), (pairs,), generator=generator)
    offset = torch.randint(1, len(embedding), (pairs,), generator=generator)
    a, b = embedding[first].double(), embedding[(first + offset) % len(embedding)].double()
    euclidean, cosine = torch.linalg.vector_norm(a - b, dim=1), 1 - F.cosine_similarity(a, b)
    return Spread(*((float(values.mean()), float(values.std())) for values in (euclidean, cosine)))


def neighbours(embedding: Tensor, word: int, count: int = 5) -> list[tuple[int, float]]:
    """The `count` words nearest to `word` by cosine distance in embedding [V, E], itself left out: (id, distance)."""
    unit = F.normalize(embedding.double(), dim=1)
    cosine = 1 - unit @ unit[word]
    cosine[word] = torch.inf
    nearest = cosine.topk(min(count, len(unit) - 1), largest=False)
    return list(zip(nearest.indices.tolist(), nearest.values.tolist(), strict=True))
