"""The models that people train for hours, written with torch's own layers. They use no code of this project."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = list[tuple[Tensor, Tensor]]


class PlainStack(nn.Module):
    """Stacked LSTMs with dropout between them, as public programs write them.

    Args:
        vocab_size: number of words.
        embedding_size: size of the word vectors.
        hidden_size: number of units in each layer; with `tied` the last layer has `embedding_size`.
        num_layers: number of layers.
        dropout: dropout rate of input, between layers, and output.
        tied: the output layer shares the embedding's matrix.
        locked: one dropout mask for all steps of a window.
        weight_dropout: dropout rate of the recurrent weights.
        sampled: words drawn for a sampled softmax, beside as many frequent ones and the targets; 0: all words.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        tied: bool,
        locked: bool,
        weight_dropout: float,
        sampled: int,
    ) -> None:
        super().__init__()
        sizes = [embedding_size, *[hidden_size] * (num_layers - 1), embedding_size if tied else hidden_size]
        self.embed = nn.Embedding(vocab_size, embedding_size)
        self.layers = nn.ModuleList(nn.LSTM(into, out, batch_first=True) for into, out in pairwise(sizes))
        self.sizes = sizes[1:]
        self.linear = nn.Linear(sizes[-1], vocab_size)
        if tied:
            self.linear.weight = self.embed.weight
        self.dropout, self.locked, self.weight_dropout, self.sampled = dropout, locked, weight_dropout, sampled

    def start(self, batch_size: int) -> State:
        return [(torch.zeros(1, batch_size, size), torch.zeros(1, batch_size, size)) for size in self.sizes]

    def loss(self, words: Tensor, targets: Tensor, state: State) -> tuple[Tensor, State]:
        """Mean nats of a window [B, T], and the state after it."""
        x, after = self._drop(self.embed(words)), []
        for layer, (h, c) in zip(self.layers, state, strict=True):
            into, recurrent, *biases = layer.parameters()
            dropped = F.dropout(recurrent, self.weight_dropout)
            x, h, c = torch.lstm(x, (h, c), [into, dropped, *biases], True, 1, 0.0, True, False, True)
            after.append((h, c))
            x = self._drop(x)
        hidden, targets = x.reshape(-1, x.shape[2]), targets.reshape(-1)
        if not self.sampled:
            return F.cross_entropy(self.linear(hidden), targets), after
        drawn = torch.randint(self.linear.out_features, (self.sampled,))
        chosen = torch.unique(torch.cat([torch.arange(self.sampled), drawn, targets]))
        logits = F.linear(hidden, self.linear.weight[chosen], self.linear.bias[chosen])
        return F.cross_entropy(logits, torch.searchsorted(chosen, targets)), after

    def _drop(self, x: Tensor) -> Tensor:
        if not self.locked:
            return F.dropout(x, self.dropout)
        return x * F.dropout(torch.ones(x.shape[0], 1, x.shape[2]), self.dropout)


class PlainStackTraining:
    """The usual training loop of such a model, one window per call: Adam, fp32."""

    def __init__(self, model: PlainStack, batch_size: int) -> None:
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
        self.state = model.start(batch_size)

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        state = [(h.detach(), c.detach()) for h, c in self.state]
        self.optimizer.zero_grad()
        loss, self.state = self.model.loss(inputs, targets, state)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.25)
        self.optimizer.step()
