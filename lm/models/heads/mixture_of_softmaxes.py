"""Mixture of softmaxes: a more expressive output layer than one softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm.models.dropout import Dropout
from lm.models.initial.drawn import shared_output_
from lm.models.interfaces import Head, HeadFactory
from lm.models.kernels.linear import Linear
from lm.system.bounds import DROPOUT, Count


class MixtureHead(Head):
    """`experts` softmaxes over the vocabulary with one matrix [V, E], mixed by weights that depend on the context.

    Expert k reads z_k = tanh(A_k h + a_k), [E]; the weights are a softmax of a linear map of h. `latent_dropout` drops
    units of z_k, with one mask for a whole window. All probabilities are computed as logarithms.
    """

    def __init__(
        self, hidden_size: int, embedding: nn.Embedding, tied: bool, experts: int, latent_dropout: float
    ) -> None:
        super().__init__()
        self.experts = experts
        self.latent = Linear(hidden_size, experts * embedding.embedding_dim)
        self.prior = Linear(hidden_size, experts, bias=False)
        self.decoder = Linear(embedding.embedding_dim, embedding.num_embeddings)
        self.latent_dropout = Dropout(latent_dropout, per="window")
        if tied:
            self.decoder.weight = embedding.weight
            shared_output_(self.decoder.bias)

    @property
    def output(self) -> nn.Linear:
        return self.decoder

    def _mixture(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Map hidden vectors [..., H] to the experts' log-weights [..., K] and logits [..., K, V].

        Both are in at least float32.
        """
        latent = self.latent(hidden).tanh()
        latent = self.latent_dropout(latent).unflatten(-1, (self.experts, -1))  # ..., K, E
        logits = self.decoder(latent)
        prior = self.prior(hidden)
        wide = torch.promote_types(logits.dtype, torch.float32)
        return prior.to(wide).log_softmax(dim=-1), logits.to(wide)

    def logits(self, hidden: Tensor) -> Tensor:
        """Map hidden vectors [..., H] to log-probabilities [..., V]."""
        prior, logits = self._mixture(hidden)
        return torch.logsumexp(prior.unsqueeze(-1) + logits.log_softmax(dim=-1), dim=-2)

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The loss of each target in nats. Only the probabilities of targets are mixed, not of the whole vocabulary."""
        prior, logits = self._mixture(hidden)
        repeated = targets.unsqueeze(-1).expand(prior.shape)  # ..., K
        nats = F.cross_entropy(logits.flatten(0, -2), repeated.flatten(), reduction="none").view(prior.shape)
        return -torch.logsumexp(prior - nats, dim=-1)


@dataclass(frozen=True)
class Mixture(HeadFactory):
    """A mixture of softmaxes (Yang et al. 2018). The last layer can have any size, also with tied weights.

    Args:
        experts: number of softmaxes.
        latent_dropout: dropout rate of the vectors that the experts read, with one mask for a whole window.
    """

    experts: Count = 15
    latent_dropout: Annotated[float, DROPOUT] = 0.0

    def head(self, hidden_size: int, embedding: nn.Embedding, tied: bool) -> Head:
        return MixtureHead(hidden_size, embedding, tied, self.experts, self.latent_dropout)
