"""Recurrent layers: what the `model/cell` group chooses."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lm.errors import UserError
from lm.models.dropout import Dropout, WeightDropout, check_rates
from lm.models.linear import Repeated, linear
from lm.models.mixed import full_precision

Memory = tuple[Tensor, ...]
"""What one layer remembers: (h, c), each [B, H]."""


Map = Callable[[Tensor], Tensor]


class RecurrentLayer(nn.Module, ABC):
    """One recurrent layer of `hidden_size` units."""

    hidden_size: int

    @abstractmethod
    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """x [B, T, F] to outputs [B, T, H], and the memory behind the last one."""

    @abstractmethod
    def step(self, x: Tensor, memory: Memory) -> Memory:
        """One time step: x [B, F] to the new memory, whose first part is the output."""

    @abstractmethod
    def open_forget_gates(self) -> None:
        """Add the cell's `forget_bias` to biases that have just been drawn."""


class Cell(ABC):
    """Settings that become a layer once its sizes are known."""

    @abstractmethod
    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer: ...


class LSTMLayer(RecurrentLayer):
    """torch's own LSTM, one layer of it, with dropout on the recurrent weights.

    Windows go through torch's fused kernel, with or without dropout on the weights.
    """

    def __init__(
        self, input_size: int, hidden_size: int, weight_dropout: float = 0.0, forget_bias: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.weight_dropout = WeightDropout(weight_dropout)
        self.forget_bias = forget_bias
        self.open_forget_gates()

    @torch.no_grad()
    def open_forget_gates(self) -> None:
        self.lstm.all_weights[0][2][self.hidden_size : 2 * self.hidden_size] += self.forget_bias  # b_ih

    def weights(self) -> list[Tensor]:
        """Input and recurrent matrix and their biases, as they stand in this window."""
        into, recurrent, *biases = self.lstm.all_weights[0]
        if not self.weight_dropout.active:
            return [into, recurrent, *biases]
        return [into, self.weight_dropout(recurrent), *biases]

    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        with full_precision(x, *(part.unsqueeze(0) for part in memory), on="cuda") as (x, h, c):  # see lm.models.lstm
            if self.weight_dropout.active:
                weights = self.weights()
                if x.is_cuda:  # cuDNN wants them in one piece of memory, in this order
                    pieces = torch.cat([weight.flatten() for weight in weights]).split([w.numel() for w in weights])
                    weights = [piece.view_as(weight) for piece, weight in zip(pieces, weights, strict=True)]
                layers, dropout, bidirectional, batch_first = 1, 0.0, False, True
                x, h, c = torch.lstm(
                    x, (h, c), weights, True, layers, dropout, self.training, bidirectional, batch_first
                )
            else:
                x, (h, c) = self.lstm(x, (h, c))
        return x, (h.squeeze(0), c.squeeze(0))

    def step(self, x: Tensor, memory: Memory) -> Memory:
        h, c = memory
        return lstm_step(x, h, c, *self.weights())


def lstm_step(
    x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: x [B, E], h and c [B, H] -> the next h and c; gates in torch's order i, f, g, o."""
    i, f, g, o = (linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)).chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@dataclass(frozen=True)
class LSTM(Cell):
    """The LSTM; `weight_dropout` drops recurrent weights, the same ones for all of a window (Merity et al. 2018).

    `forget_bias` is added to the forget gate's bias as torch draws it (Jozefowicz et al. 2015 recommend 1).
    """

    weight_dropout: float = 0.0
    forget_bias: float = 0.0

    def __post_init__(self) -> None:
        check_rates({"cell.weight_dropout": self.weight_dropout})

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return LSTMLayer(input_size, hidden_size, self.weight_dropout, self.forget_bias)


@dataclass(frozen=True)
class Mogrifier(Cell):
    """An LSTM whose input x and state h gate each other before each step (Melis, Kocisky & Blunsom 2020).

    In `rounds` turns x becomes 2 * sigmoid(Q h) * x, then h becomes 2 * sigmoid(R x) * h, and so on; Q and R are
    products of two matrices of rank `rank` (null: one full matrix). `coupled` caps the input gate: i = min(i, 1 - f).
    `state_dropout` drops units of h before each step, the same ones for all of a window. `forget_bias` is where the
    forget gate's bias starts. Matrices start from a truncated normal distribution of variance 1 / fan-in, the fan-in of
    x and of h each their own; the factors of low rank from one that has this variance before it is cut, as theirs do.
    """

    rounds: int = 5
    rank: int | None = 84
    coupled: bool = True
    state_dropout: float = 0.0
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise UserError(f"model.cell.rounds must be 0 or more; got {self.rounds}")
        if self.rank is not None and self.rank < 1:
            raise UserError(f"model.cell.rank must be at least 1, or null for full matrices; got {self.rank}")
        check_rates({"cell.state_dropout": self.state_dropout})

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return MogrifierLayer(input_size, hidden_size, self)


class MogrifierLayer(RecurrentLayer):
    """See `Mogrifier`. Gates stand in torch's order: input, forget, candidate, output."""

    def __init__(self, input_size: int, hidden_size: int, cell: Mogrifier) -> None:
        super().__init__()
        self.hidden_size, self.coupled, self.forget_bias = hidden_size, cell.coupled, cell.forget_bias
        self.weight = nn.Parameter(torch.empty(4 * hidden_size, input_size + hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        self.gates = nn.ModuleList()
        for turn in range(cell.rounds):
            into, out = (hidden_size, input_size) if turn % 2 == 0 else (input_size, hidden_size)
            sizes = [(into, out)] if cell.rank is None else [(into, cell.rank), (cell.rank, out)]
            self.gates.append(nn.ParameterList(torch.empty(rows, columns) for columns, rows in sizes))
        self.state_dropout = Dropout(cell.state_dropout, per="window")
        truncated_normal_(self.weight[:, :input_size])
        truncated_normal_(self.weight[:, input_size:])
        for factor in self.gates.parameters():
            truncated_normal_(factor, variance_before=cell.rank is not None)
        self.open_forget_gates()

    @torch.no_grad()
    def open_forget_gates(self) -> None:
        self.bias[self.hidden_size : 2 * self.hidden_size] += self.forget_bias

    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        outputs = []
        # In mixed precision autocast casts for `linear`, and would not for the gradient of all steps.
        apart = not torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type)
        rows, steps = x.shape[:2]
        maps = self._maps(linear_map if apart else lambda weight, bias: Repeated(weight, bias, steps, rows))
        for one in x.unbind(1):  # what is read depends on the state, so that no product can be taken out of the loop
            memory = self._step(one, memory, *maps)
            outputs.append(memory[0])
        return torch.stack(outputs, dim=1), memory

    def step(self, x: Tensor, memory: Memory) -> Memory:
        return self._step(x, memory, *self._maps(linear_map))

    def _maps(self, make: Callable[[Tensor, Tensor | None], Map]) -> tuple[list[list[Map]], Map]:
        """The gates of each round, a map a matrix, and the map to the LSTM's own gates."""
        rounds: Any = self.gates
        return [[make(matrix, None) for matrix in turn] for turn in rounds], make(self.weight, self.bias)

    def _step(self, x: Tensor, memory: Memory, gates: list[list[Map]], lstm_gates: Map) -> Memory:
        h, c = memory
        h = self.state_dropout(h)
        for turn, maps in enumerate(gates):
            gate = x if turn % 2 else h
            for into in maps:
                gate = into(gate)
            gate = 2 * gate.sigmoid()
            if turn % 2:
                h = gate * h
            else:
                x = gate * x
        i, f, g, o = lstm_gates(torch.cat([x, h], dim=-1)).chunk(4, dim=-1)  # B, H each
        f = f.sigmoid()
        i = torch.minimum(i.sigmoid(), 1 - f) if self.coupled else i.sigmoid()
        c = f * c + i * g.tanh()
        return o.sigmoid() * c.tanh(), c


def linear_map(weight: Tensor, bias: Tensor | None) -> Map:
    return partial(linear, weight=weight, bias=bias)


LEFT_BY_CUT = 0.8796
"""The share of a normal distribution's standard deviation that is left where it is cut at two deviations."""


@torch.no_grad()
def truncated_normal_(matrix: Tensor, variance_before: bool = False) -> None:
    """Fill a matrix [rows, fan-in] from a normal distribution cut at two deviations, of variance 1 / fan-in.

    `variance_before`: that is the variance before the cut.
    """
    deviation = math.sqrt(1 / matrix.shape[-1]) / (1 if variance_before else LEFT_BY_CUT)
    nn.init.trunc_normal_(matrix, std=deviation, a=-2 * deviation, b=2 * deviation)
