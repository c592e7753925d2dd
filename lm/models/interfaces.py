"""The interfaces of language models and their heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm.models.dropout import WindowMask
from lm.system.bounds import Bounded

State = list[tuple[Tensor, ...]]
"""The state of a model between two calls: for each layer a tuple of as many tensors as it needs, each [B, ...].

What they mean is the layer's business. A model's `initial_state` is not always zero.
"""


def detach(state: State) -> State:
    """The state, detached from the graph. This truncates back-propagation through time."""
    return mapped(state, Tensor.detach)


def mapped(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """A state of the tensors that `change` makes of these."""
    return [tuple(map(change, layer)) for layer in state]


def joined(states: list[State]) -> State:
    """The state of a batch, from those of its parts."""
    if len(states) == 1:
        return states[0]
    return [tuple(torch.cat(parts) for parts in zip(*layers, strict=True)) for layers in zip(*states, strict=True)]


def tensors_of(state: State) -> list[Tensor]:
    """The tensors of a state, layer by layer."""
    return [part for layer in state for part in layer]


def chosen(which: Tensor, these: State, others: State) -> State:
    """A state with `these` for the sequences in `which` [B], bool, and `others` for the rest."""

    def one(this: Tensor, other: Tensor) -> Tensor:
        return torch.where(which.view(-1, *[1] * (other.ndim - 1)), this.to(other.dtype), other)

    return [tuple(map(one, *layers)) for layers in zip(these, others, strict=True)]


class Head(nn.Module, ABC):
    """The output layer: from hidden vectors to a distribution over words."""

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Map hidden vectors [..., H] to unnormalised log-probabilities [..., V]."""

    @property
    def output(self) -> nn.Linear | None:
        """The linear layer that gives one logit per word, weight [V, ...] and bias [V]; None if there is none."""
        return None

    def prepare(self, counts: Tensor) -> None:
        """Prepare the head, once, before training. `counts` [V]: how often each word occurs in the training text."""

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The loss of each target in nats, float32 [...], from hidden vectors [..., H] and targets [...]."""
        logits = self.logits(hidden).flatten(0, -2).float()
        return F.cross_entropy(logits, targets.flatten(), reduction="none").view(targets.shape)


class HeadFactory(Bounded, ABC, group="model.head"):
    """The settings of a head: an option of the `model/head` group. `head` makes a head for a model's sizes."""

    @abstractmethod
    def head(self, hidden_size: int, embedding: nn.Embedding, tied: bool) -> Head:
        """Make a head for hidden vectors of `hidden_size` units. If `tied`, it shares the embedding's matrix [V, E]."""


class LanguageModel(nn.Module, ABC):
    """A language model: maps tokens and a state to hidden vectors and a new state. `head` gives the loss or the logits.

    In training mode, the model's modules may keep a dropout mask for a whole window. `forward` reads one window and
    draws new masks. If `step` reads a window token by token, call `begin_window` before it. Evaluation mode has no
    masks.
    """

    vocab_size: int
    embedding: nn.Embedding
    head: Head
    output_dropout: nn.Module
    """Dropout between the last layer's output [..., H] and the head."""

    @property
    def parameter_count(self) -> int:
        """The number of weights, each counted once."""
        return sum(weight.numel() for weight in self.parameters())

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state before the first word, on the model's device."""

    @abstractmethod
    def read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Map tokens [B, T] to the last layer's output [B, T, H] before dropout. Also returns the state at the end."""

    @abstractmethod
    def read_one(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Like `read`, for one token per sequence: map tokens [B] to the last layer's output [B, H] before dropout."""

    def begin_window(self) -> None:
        """Start a new window: forget the dropout masks of the previous window."""
        for part in self.modules():
            if isinstance(part, WindowMask):
                part.forget()

    def renewed(self, state: State, which: np.ndarray) -> State:
        """The state, with the first state in its place for the sequences in `which` [B], bool."""
        if not which.any():
            return state
        first = self.initial_state(len(which))
        if which.all():
            return first
        return chosen(torch.from_numpy(which).to(self.embedding.weight.device), first, state)

    def reset_some(self, state: State, probability: float) -> State:
        """The state, with the first state in its place for sequences chosen at random, each with `probability`."""
        device = self.embedding.weight.device
        batch_size = len(tensors_of(state)[0])
        return chosen(torch.rand(batch_size, 1, device=device) < probability, self.initial_state(batch_size), state)

    def read_window(self, tokens: Tensor, state: State, reset: np.ndarray) -> tuple[Tensor, State]:
        """Like `read`, but a sequence has its first state before each token where `reset` [B, T], bool, is true."""
        cuts = np.flatnonzero(reset[:, 1:].any(axis=0)) + 1
        outputs = []
        for first, end in pairwise([0, *cuts.tolist(), tokens.shape[1]]):
            state = self.renewed(state, reset[:, first])
            raw, state = self.read(tokens[:, first:end], state)
            outputs.append(raw)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1), state

    def forward(self, tokens: Tensor, state: State, reset: np.ndarray | None = None) -> tuple[Tensor, State]:
        """Map a window of tokens [B, T] to hidden vectors [B, T, H]. Also returns the state after the last token.

        `reset` [B, T], bool: where a sequence begins again, as in a `Window`; None: nowhere.
        """
        self.begin_window()
        raw, state = self.read(tokens, state) if reset is None else self.read_window(tokens, state, reset)
        hidden: Tensor = self.output_dropout(raw)
        return hidden, state

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Map one token per sequence [B] to hidden vectors [B, H], for a model that reads its own words."""
        raw, state = self.read_one(tokens, state)
        hidden: Tensor = self.output_dropout(raw)
        return hidden, state
