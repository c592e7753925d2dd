"""One softmax over the whole vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from lm.models.initial.drawn import shared_output_
from lm.models.interfaces import Head, HeadFactory
from lm.models.kernels.cross_entropy import linear_cross_entropy
from lm.models.kernels.linear import Linear
from lm.system.errors import UserError


class SoftmaxHead(Head):
    """A linear layer and a softmax over the whole vocabulary; `tied_to` shares the embedding's matrix [V, H]."""

    def __init__(self, hidden_size: int, vocab_size: int, tied_to: Tensor | None = None) -> None:
        super().__init__()
        self.linear = Linear(hidden_size, vocab_size)
        if tied_to is not None:
            self.linear.weight = tied_to
            shared_output_(self.linear.bias)

    @property
    def output(self) -> nn.Linear:
        return self.linear

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return linear_cross_entropy(hidden, self.linear.weight, self.linear.bias, targets)

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.linear(hidden)
        return logits


@dataclass(frozen=True)
class Softmax(HeadFactory):
    """One softmax over the whole vocabulary. Raises UserError for tied weights if hidden and embedding size differ."""

    def head(self, hidden_size: int, embedding: nn.Embedding, tied: bool) -> Head:
        return SoftmaxHead(hidden_size, embedding.num_embeddings, self.matrix(hidden_size, embedding, tied))

    def matrix(self, hidden_size: int, embedding: nn.Embedding, tied: bool) -> Tensor | None:
        """The embedding's matrix [V, H] if the head shares it (`tied`); None if the head has its own matrix."""
        if tied and embedding.embedding_dim != hidden_size:
            raise UserError(
                "model.tied=true shares one matrix, so model.embedding_size and the size of the last layer "
                f"(model.hidden_size, or model.last_size if the model has it) must be equal; "
                f"got {embedding.embedding_dim} and {hidden_size}; set both"
            )
        return embedding.weight if tied else None
