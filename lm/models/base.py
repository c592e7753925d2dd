"""What every language model offers, whatever is inside."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn

State = list[tuple[Tensor, ...]]
"""What a model remembers between two calls: for an LSTM (h, c) of each layer, each [B, H]."""


def detach(state: State) -> State:
    """The same memory, cut off from the graph that made it: where back-propagation through time is truncated."""
    return [tuple(part.detach() for part in layer) for layer in state]


class Head(nn.Module, ABC):
    """The output layer: from hidden vectors to a distribution over words."""

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden [..., H] to unnormalised log-probabilities [..., V]."""

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Nats of each target: hidden [..., H], targets [...] -> float32 [...]."""
        logits = self.logits(hidden).flatten(0, -2).float()
        return F.cross_entropy(logits, targets.flatten(), reduction="none").view(targets.shape)


class LanguageModel(nn.Module, ABC):
    """Tokens in, hidden vectors out, with a state between calls; `head` turns hidden vectors into nats or logits."""

    vocab_size: int
    embedding: nn.Embedding
    head: Head

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The memory before the first word, on the model's device."""

    @abstractmethod
    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Tokens [B, T] to hidden vectors [B, T, H], and the state behind the last one."""

    @abstractmethod
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One token a sequence, [B], to hidden [B, H]: for everything that feeds the model its own words."""
