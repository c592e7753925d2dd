"""The output layer: from hidden vectors to a distribution over words."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SoftmaxHead(nn.Module):
    """A linear layer and a softmax over the whole vocabulary; `tied_to` shares the embedding's matrix [V, H]."""

    def __init__(self, hidden_size: int, vocab_size: int, tied_to: nn.Parameter | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, vocab_size)
        if tied_to is not None:
            self.linear.weight = tied_to
            nn.init.zeros_(self.linear.bias)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden [..., H] to unnormalised log-probabilities [..., V]."""
        return self.linear(hidden)

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Nats of each target: hidden [..., H], targets [...] -> float32 [...]."""
        logits = self.logits(hidden)
        flat = F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten(), reduction="none")
        return flat.view(targets.shape)  # [...]
