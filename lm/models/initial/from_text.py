"""Sets initial weights from the training text: the options of the `init` group."""

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
PIECE = 1 << 22  # ids that are counted at a time


@dataclass(frozen=True)
class Random(Bounded, group="init"):
    """Changes nothing: weights stay as the model drew them at random."""

    def apply(self, model: LanguageModel, ids: Ids) -> None:
        """Set weights of a new `model` from the training text `ids` [N]."""


@dataclass(frozen=True)
class Unigram(Random):
    """The initial output bias is the logarithm of each word's frequency, with 0.5 added to every count.

    So training does not begin with learning the words' frequencies. Raises UserError for a head without an output bias.
    """

    @torch.no_grad()
    def apply(self, model: LanguageModel, ids: Ids) -> None:
        if model.head.output is None:
            raise UserError(
                "init=unigram and init=cooccurrence set an output bias, but model.head has none: choose init=random"
            )
        pieces = np.array_split(ids, len(ids) // PIECE + 1)  # so that a memory map is never read whole
        counts = np.full(model.vocab_size, 0.5)
        for piece in pieces:
            counts += np.bincount(piece, minlength=model.vocab_size)
        model.head.output.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


@dataclass(frozen=True)
class Cooccurrence(Unigram):
    """Sets the output bias as `Unigram` does, and initial embeddings from the co-occurrence of words.

    The method is that of Levy, Goldberg & Dagan (2015).

    A word is described by its positive pointwise mutual information with its neighbours, separately for each position
    and divided by the distance. A singular value decomposition reduces this to the embedding size. The vectors are then
    centred, rotated at random, so that all units are alike, and scaled.

    Args:
        reach: number of neighbours before and after a word.
        scale: root mean square of each vector's entries.
    """

    reach: Count = 2
    scale: Annotated[float, Above(0)] = 0.4

    @torch.no_grad()
    def apply(self, model: LanguageModel, ids: Ids) -> None:
        from lm.models.initial.cooccurrence import word_vectors  # imports scipy, which the other classes do not need

        super().apply(model, ids)
        weight = model.embedding.weight  # V, E
        if len(ids) <= self.reach:
            raise UserError(f"init.reach={self.reach} needs a longer training text than {len(ids)} words")
        vectors = torch.from_numpy(word_vectors(ids, len(weight), weight.shape[1], self.reach)).to(weight)
        known = torch.unique(torch.from_numpy(ids.astype(np.int64)))  # words that are not in the text stay as drawn
        turn = torch.linalg.qr(torch.randn(weight.shape[1], weight.shape[1])).Q.to(weight)
        vectors = (vectors[known] - vectors[known].mean(0)) @ turn
        root_mean_square = vectors.square().mean(1, keepdim=True).sqrt()
        weight[known] = vectors / root_mean_square.clamp_min(1e-12) * self.scale
