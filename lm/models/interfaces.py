"""What every language model offers, whatever is inside."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm.models.dropout import WindowMask
from lm.system.bounds import Bounded

State = list[tuple[Tensor, ...]]
"""What a model remembers between two calls: for an LSTM (h, c) of each layer, each [B, H]."""


def detach(state: State) -> State:
    """The same memory, cut off from the graph that made it: where back-propagation through time is truncated."""
    return [tuple(part.detach() for part in layer) for layer in state]


def reset_some(state: State, probability: float) -> State:
    """The same memory, but that of each sequence put to zero with a probability."""
    first = state[0][0]
    kept = torch.rand(len(first), 1, device=first.device) >= probability  # B, 1
    return [tuple(part * kept for part in layer) for layer in state]


class Head(nn.Module, ABC):
    """The output layer: from hidden vectors to a distribution over words."""

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden [..., H] to unnormalised log-probabilities [..., V]."""

    @property
    def output(self) -> nn.Linear | None:
        """The map that ends in one logit a word, weight [V, ...] and bias [V]; None where there is no such thing."""
        return None

    def prepare(self, counts: Tensor) -> None:
        """Called once before training: how often each word stands in the training text, [V]."""

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Nats of each target: hidden [..., H], targets [...] -> float32 [...]."""
        logits = self.logits(hidden).flatten(0, -2).float()
        return F.cross_entropy(logits, targets.flatten(), reduction="none").view(targets.shape)


class HeadFactory(Bounded, ABC, group="model.head"):
    """What the `model/head` group chooses: settings that become a head once the model's sizes are known."""

    @abstractmethod
    def head(self, hidden_size: int, embedding: nn.Embedding, tied: bool) -> Head:
        """A head for hidden vectors of `hidden_size` units; `tied` shares the embedding's matrix [V, E]."""


class LanguageModel(nn.Module, ABC):
    """Tokens in, hidden vectors out, with a state between calls; `head` turns hidden vectors into nats or logits.

    In training mode parts may hold a dropout mask for a whole window. `forward` reads a window, so it draws them anew;
    where `step` reads a window token by token, `begin_window` says where it begins. Evaluation mode knows no masks.
    """

    vocab_size: int
    embedding: nn.Embedding
    head: Head
    output_dropout: nn.Module
    """What stands between the last layer's output [..., H] and the head."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The memory before the first word, on the model's device."""

    @abstractmethod
    def read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Tokens [B, T] to the last layer's output [B, T, H] before dropout, and the state behind the last one."""

    @abstractmethod
    def read_one(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """`read` for one token a sequence: [B] to [B, H]."""

    def begin_window(self) -> None:
        """Forget the masks of the window before."""
        for part in self.modules():
            if isinstance(part, WindowMask):
                part.forget()

    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Tokens [B, T], a window, to hidden vectors [B, T, H], and the state behind the last one."""
        self.begin_window()
        raw, state = self.read(tokens, state)
        hidden: Tensor = self.output_dropout(raw)
        return hidden, state

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One token a sequence, [B], to hidden [B, H]: for everything that feeds the model its own words."""
        raw, state = self.read_one(tokens, state)
        hidden: Tensor = self.output_dropout(raw)
        return hidden, state
