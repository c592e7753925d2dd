"""Output layers."""

from __future__ import annotations

from torch import Tensor, nn

from lm.models.base import Head
from lm.models.linear import linear


class SoftmaxHead(Head):
    """A linear layer and a softmax over the whole vocabulary; `tied_to` shares the embedding's matrix [V, H]."""

    def __init__(self, hidden_size: int, vocab_size: int, tied_to: Tensor | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, vocab_size)
        if tied_to is not None:
            self.linear.weight = tied_to
            nn.init.zeros_(self.linear.bias)

    def logits(self, hidden: Tensor) -> Tensor:
        return linear(hidden, self.linear.weight, self.linear.bias)
