"""What weights know of the training text before the first window: the `init` group of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray

from lm.models.interfaces import LanguageModel
from lm.system.bounds import Above, Bounded, Count
from lm.system.errors import UserError

Ids = NDArray[np.integer]


@dataclass(frozen=True)
class Random(Bounded, group="init"):
    """Nothing: weights stay as the model drew them."""

    def apply(self, model: LanguageModel, ids: Ids) -> None:
        """Change the weights of a new `model` by what the training text `ids` [N] says."""


@dataclass(frozen=True)
class Unigram(Random):
    """The output bias starts as the logarithm of each word's frequency, half a word added to every count.

    So the first updates need not learn which words are frequent. Raises UserError for a head without an output bias.
    """

    @torch.no_grad()
    def apply(self, model: LanguageModel, ids: Ids) -> None:
        if model.head.output is None:
            raise UserError(
                "init=unigram and init=cooccurrence set an output bias, and model.head has none: init=random"
            )
        counts = np.bincount(ids, minlength=model.vocab_size) + 0.5
        model.head.output.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


@dataclass(frozen=True)
class Cooccurrence(Unigram):
    """As Unigram, and embeddings start from which words stand next to which (Levy, Goldberg & Dagan 2015).

    Every word has its positive pointwise mutual information with the words up to `reach` places before and behind it,
    each place apart and divided by its distance; a singular value decomposition brings them down to the embedding's
    size. Vectors are centred, turned at random, so that units are alike, and scaled to a root mean square of `scale`.
    """

    reach: Count = 2
    scale: Annotated[float, Above(0)] = 0.4

    @torch.no_grad()
    def apply(self, model: LanguageModel, ids: Ids) -> None:
        from lm.models.initial.cooccurrence import word_vectors  # brings scipy, which other starts need not wait for

        super().apply(model, ids)
        weight = model.embedding.weight  # V, E
        if len(ids) <= self.reach:
            raise UserError(f"init.reach={self.reach} needs a longer training text than {len(ids)} words")
        vectors = torch.from_numpy(word_vectors(ids, len(weight), weight.shape[1], self.reach)).to(weight)
        known = torch.unique(torch.from_numpy(ids.astype(np.int64)))  # a word that is not in the text stays as drawn
        turn = torch.linalg.qr(torch.randn(weight.shape[1], weight.shape[1])).Q.to(weight)
        vectors = (vectors[known] - vectors[known].mean(0)) @ turn
        root_mean_square = vectors.square().mean(1, keepdim=True).sqrt()
        weight[known] = vectors / root_mean_square.clamp_min(1e-12) * self.scale
