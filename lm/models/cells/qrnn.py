"""The quasi-recurrent network: gates from a convolution over the input, and a memory that only they move."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lm.models.cells.cell import Cell, Memory, RecurrentLayer
from lm.models.initial.drawn import by_size_, open_forget_gate_
from lm.models.kernels.full_precision import at_least_fp32
from lm.models.kernels.linear import linear
from lm.models.kernels.scan import linear_recurrence
from lm.system.bounds import Count


@dataclass(frozen=True)
class QRNN(Cell):
    """The quasi-recurrent network with fo-pooling (Bradbury et al. 2017).

        c = f c + (1 - f) z;  h = o c      with z, f and o from the last `width` inputs alone

    It has no recurrent weights, so there is no dropout of them or of what they would read.

    Args:
        width: how many inputs the gates read: this one and those just before it. AWD-QRNN (Merity et al. 2018) has 2 in
            the first layer and 1 in the others; here all layers have the same.
        forget_bias: added to the initial bias of the forget gate.
    """

    width: Count = 2
    forget_bias: float = 0.0

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return QRNNLayer(input_size, hidden_size, self)


class QRNNLayer(RecurrentLayer):
    """One QRNN layer; memory (c [B, H], the inputs before the next one [B, width - 1, F]).

    Gates are in the order candidate z, forget, output. `weight` [3 H, width * F] has the oldest input first.
    """

    def __init__(self, input_size: int, hidden_size: int, cell: QRNN) -> None:
        super().__init__()
        self.hidden_size, self.input_size = hidden_size, input_size
        self.width, self.forget_bias = cell.width, cell.forget_bias
        self.weight = nn.Parameter(torch.empty(3 * hidden_size, cell.width * input_size))
        self.bias = nn.Parameter(torch.empty(3 * hidden_size))
        by_size_(self.parameters(), cell.width * input_size)
        self.open_forget_gates()

    def open_forget_gates(self) -> None:
        open_forget_gate_(self.bias, self.forget_bias, gates=3)

    def first(self, batch_size: int) -> Memory:
        return (*super().first(batch_size), self.weight.new_zeros(batch_size, self.width - 1, self.input_size))

    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        c, before = memory
        seen = torch.cat([before.to(x.dtype), x], dim=1)  # B, width - 1 + T, F
        steps = x.shape[1]
        read = torch.cat([seen[:, start : start + steps] for start in range(self.width)], dim=-1)  # B, T, width * F
        f, candidate, o = self._gates(linear(read, self.weight, self.bias))
        kept = linear_recurrence(f, candidate, c)
        return (o * kept).to(self.weight.dtype), (kept[:, -1], seen[:, steps:])

    def step(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        c, before = memory
        seen = torch.cat([before.to(x.dtype), x.unsqueeze(1)], dim=1)  # B, width, F
        f, candidate, o = self._gates(linear(seen.flatten(1), self.weight, self.bias))
        c = f * c + candidate
        return (o * c).to(self.weight.dtype), (c, seen[:, 1:])

    def _gates(self, product: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The forget gate, what is added to the memory, and the output gate, each [..., H]."""
        z, f, o = at_least_fp32(product).chunk(3, dim=-1)
        return f.sigmoid(), (-f).sigmoid() * z.tanh(), o.sigmoid()  # sigmoid(-f) is 1 - sigmoid(f), and more exact
