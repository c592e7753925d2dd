"""The Mogrifier: an LSTM whose input and state gate each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from lm.models.cells.cell import Cell, Memory, RecurrentLayer
from lm.models.dropout import Dropout
from lm.models.initial.drawn import open_forget_gate_, truncated_normal_
from lm.models.kernels.full_precision import uncached
from lm.models.kernels.linear import linear
from lm.models.kernels.repeated import Repeated
from lm.system.bounds import DROPOUT, AtLeast, Count

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Mogrifier(Cell):
    """An LSTM whose input x and state h gate each other before each step (Melis, Kocisky & Blunsom 2020).

    In alternate rounds x becomes 2 * sigmoid(Q h) * x and h becomes 2 * sigmoid(R x) * h. Initial
    matrices are drawn from a truncated normal distribution of variance 1 / fan-in, where the parts for x and for h have
    separate fan-ins. For low-rank factors 1 / fan-in is the variance before truncation, as in the paper's code.

    Args:
        rounds: number of rounds of gating; the first round changes x.
        rank: Q and R are products of two matrices of this rank; null: full matrices.
        coupled: limit the input gate: i = min(i, 1 - f).
        state_dropout: dropout rate of the units of h before each step, with one mask for a whole window.
        forget_bias: initial value of the forget gate's bias.
    """

    rounds: Annotated[int, AtLeast(0)] = 5
    rank: Count | None = 84
    coupled: bool = True
    state_dropout: Annotated[float, DROPOUT] = 0.0
    forget_bias: float = 1.0

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return MogrifierLayer(input_size, hidden_size, self)


class MogrifierLayer(RecurrentLayer):
    """One layer of the Mogrifier; memory (h, c), each [B, H]; gates in torch's order: input, forget, cell, output."""

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

    def open_forget_gates(self) -> None:
        open_forget_gate_(self.bias, self.forget_bias)

    def first(self, batch_size: int) -> Memory:
        return (*super().first(batch_size), *super().first(batch_size))

    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        outputs = []
        # Under autocast `Repeated` would round elsewhere, and the figures of this cell in bf16 would change.
        apart = not torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type)
        rows, steps = x.shape[:2]
        maps = self._maps(linear_map if apart else lambda weight, bias: Repeated(weight, bias, steps, rows))
        with uncached(x.device.type):
            for one in x.unbind(1):  # gated inputs depend on the state, so no product can move out of the loop
                memory = self._step(one, memory, *maps)
                outputs.append(memory[0])
        return torch.stack(outputs, dim=1), memory

    def step(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        memory = self._step(x, memory, *self._maps(linear_map))
        return memory[0], memory

    def _maps(self, make: Callable[[Tensor, Tensor | None], Map]) -> tuple[list[list[Map]], Map]:
        """The linear maps of each round's gate, one per matrix, and the linear map to the LSTM's gates."""
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
