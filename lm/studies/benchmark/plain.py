"""The plain loops of the classic exercise, written as they are taught. They use no code of this project."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn


class PlainModel(nn.Module):
    """The exercise's model: an embedding, an LSTM, and a linear layer at every position.

    `recurrent` may be torch's GRU or RNN instead; the state is then one tensor, in a tuple like the LSTM's two.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        recurrent: Callable[..., nn.RNNBase] = nn.LSTM,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, embedding_size)
        self.recurrent = recurrent(embedding_size, hidden_size, num_layers, batch_first=True)
        self.linear = nn.Linear(hidden_size, vocab_size)

    def forward(self, words: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        x = self.embed(words)
        if isinstance(self.recurrent, nn.LSTM):
            out, state = self.recurrent(x, state)
        else:
            out, last = self.recurrent(x, state[0])
            state = (last,)
        return self.linear(out.reshape(-1, out.shape[2])), state

    def start(self, batch_size: int) -> tuple[Tensor, ...]:
        shape = self.recurrent.num_layers, batch_size, self.recurrent.hidden_size
        zeros = torch.zeros(shape, device=self.linear.weight.device)
        return (zeros, zeros.clone()) if isinstance(self.recurrent, nn.LSTM) else (zeros,)


class PlainTraining:
    """The exercise's training loop, one window per call: default Adam, fp32, a printed line every hundred windows."""

    def __init__(self, model: PlainModel, batch_size: int) -> None:
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
        self.states = model.start(batch_size)
        self.criterion = nn.CrossEntropyLoss()
        self.window = 0
        self.printed = io.StringIO()

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        self.states = tuple(state.detach() for state in self.states)
        outputs, self.states = self.model(inputs, self.states)
        loss = self.criterion(outputs, targets.reshape(-1))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.optimizer.step()
        if self.window % 100 == 0:
            print(f"Step[{self.window}], Loss: {loss.item():.4f}, {math.exp(loss.item()):5.2f}", file=self.printed)
        self.window += 1


class PlainTokenTraining(PlainTraining):
    """The exercise's loop without teacher forcing: the model reads its own argmax words, with one update per word."""

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        words = inputs[:, :1]
        losses = []
        for t in range(inputs.shape[1]):
            self.states = tuple(state.detach() for state in self.states)
            outputs, self.states = self.model(words, self.states)
            loss = self.criterion(outputs, targets[:, t])
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
            self.optimizer.step()
            words = outputs.argmax(dim=1).unsqueeze(1)
            losses.append(loss.item())
        if self.window % 100 == 0:
            mean = sum(losses) / len(losses)
            print(f"Step[{self.window}], Loss: {mean:.4f}, {math.exp(mean):5.2f}", file=self.printed)
        self.window += 1


class PlainFreeRunning(PlainTraining):
    """The exercise's loop without teacher forcing, with one update per window: of the mean loss of its words."""

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        self.states = tuple(state.detach() for state in self.states)
        words, losses = inputs[:, :1], []
        for t in range(inputs.shape[1]):
            outputs, self.states = self.model(words, self.states)
            losses.append(self.criterion(outputs, targets[:, t]))
            words = outputs.argmax(dim=1).unsqueeze(1)
        self.optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.optimizer.step()
        self.window += 1


def plain_sampling(model: PlainModel, words: int) -> list[int]:
    """The classic exercise's sampling loop: one sequence, word by word, drawn in proportion to exp(logits)."""
    drawn = []
    with torch.no_grad():
        state = model.start(1)
        ones = torch.ones(model.linear.out_features, device=model.linear.weight.device)
        word = torch.multinomial(ones, num_samples=1).unsqueeze(1)
        for _ in range(words):
            output, state = model(word, state)
            index = int(torch.multinomial(output.exp(), num_samples=1).item())
            word.fill_(index)
            drawn.append(index)
    return drawn


def plain_reading(path: Path) -> Tensor:
    """The exercise's reader of a text file: one pass over the words makes the dictionary, a second one the ids."""
    index: dict[str, int] = {}
    words: list[str] = []
    tokens = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            line_words = [*line.split(), "<eos>"]
            tokens += len(line_words)
            for word in line_words:
                if word not in index:
                    index[word] = len(words)
                    words.append(word)
    ids = torch.LongTensor(tokens)
    token = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            for word in [*line.split(), "<eos>"]:
                ids[token] = index[word]
                token += 1
    return ids
