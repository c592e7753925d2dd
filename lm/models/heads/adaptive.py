"""An output layer for large vocabularies: full size for frequent words, smaller clusters for rare ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

import torch
from torch import Tensor, nn

from lm.models.interfaces import Head, HeadFactory
from lm.models.kernels.full_precision import full_precision
from lm.models.kernels.linear import Linear
from lm.system.bounds import AtLeast
from lm.system.errors import UserError


class AdaptiveHead(Head):
    """torch's adaptive softmax (Grave et al. 2017) over words in the order of their frequency in the training text.

    Before `prepare` sets the order by frequency, words are in the order of their ids. The order is saved with the
    weights.
    """

    rank: Tensor

    def __init__(self, hidden_size: int, vocab_size: int, cutoffs: Sequence[int], div_value: float) -> None:
        super().__init__()
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(hidden_size, vocab_size, list(cutoffs), div_value)
        for layer in self.softmax.modules():
            if isinstance(layer, nn.Linear):
                layer.__class__ = Linear  # torch makes these layers itself
        self.register_buffer("rank", torch.arange(vocab_size))  # each word's rank; the most frequent word has rank 0

    def prepare(self, counts: Tensor) -> None:
        self.rank[counts.argsort(descending=True, stable=True)] = torch.arange(len(counts))

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        with full_precision(hidden.flatten(0, -2)) as (rows,):  # torch's implementation fails with autocast's types
            found = self.softmax(rows, self.rank[targets.flatten()])
        nats: Tensor = -found.output.float().view(targets.shape)
        return nats

    def logits(self, hidden: Tensor) -> Tensor:
        """Map hidden vectors [..., H] to log-probabilities [..., V] of all words. This is not faster than a softmax."""
        frequent = self.softmax.shortlist_size
        with full_precision(hidden.flatten(0, -2)) as (rows,):
            head = self.softmax.head(rows).log_softmax(dim=-1)
            parts, tails = [head[:, :frequent]], cast(Iterable[Iterable[nn.Linear]], self.softmax.tail)
            for cluster, (narrow, words) in enumerate(tails, start=frequent):
                within = words(narrow(rows)).log_softmax(dim=-1)
                parts.append(within + head[:, cluster : cluster + 1])
            ordered = torch.cat(parts, dim=-1)
        return ordered[:, self.rank].view(*hidden.shape[:-1], -1)


@dataclass(frozen=True)
class Adaptive(HeadFactory):
    """An adaptive softmax (Grave et al. 2017): rarer clusters of words use smaller hidden vectors.

    Args:
        cutoffs: increasing frequency ranks at which clusters of words end. Words before the first cutoff use the full
            hidden vector; the last cluster ends with the vocabulary.
        div_value: each cluster has this many times fewer units than the cluster before.
    """

    cutoffs: Sequence[int] = (2000,)
    div_value: Annotated[float, AtLeast(1)] = 4.0

    def head(self, hidden_size: int, embedding: nn.Embedding, tied: bool) -> Head:
        vocab_size = embedding.num_embeddings
        if tied:
            raise UserError("model.head=adaptive has no single output matrix to share: set model.tied=false")
        cutoffs = list(self.cutoffs)
        if not cutoffs or cutoffs != sorted(set(cutoffs)) or cutoffs[0] < 1 or cutoffs[-1] >= vocab_size:
            raise UserError(
                f"model.head.cutoffs must be rising ranks between 1 and {vocab_size - 1} "
                f"(the vocabulary has {vocab_size} words); got {cutoffs}"
            )
        if hidden_size // self.div_value ** len(cutoffs) < 1:
            raise UserError(
                f"model.head.div_value must leave at least one of {hidden_size} units to each of the "
                f"{len(cutoffs)} clusters; got {self.div_value}"
            )
        return AdaptiveHead(hidden_size, vocab_size, cutoffs, self.div_value)
