"""What LSTM, GRU, plain RNN and sLSTM share: two products, of the input and of the last output, and pointwise gates."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from lm.models.cells.cell import Cell, Memory, RecurrentLayer
from lm.models.dropout import Dropout, WeightDropout
from lm.models.initial.drawn import by_size_, open_forget_gate_
from lm.models.kernels.cudnn import Kernel, by_kernel, cudnn_window
from lm.models.kernels.linear import linear
from lm.models.kernels.repeated import Repeated
from lm.system.bounds import DROPOUT


@dataclass(frozen=True)
class Gated(Cell):
    """Settings that all cells with recurrent weights share.

    Args:
        weight_dropout: dropout rate of recurrent weights, with one mask for a whole window (Merity et al. 2018).
        state_dropout: dropout rate of the units of h where the recurrent weights read it, with one mask for a whole
            window (Gal & Ghahramani 2016).
    """

    weight_dropout: Annotated[float, DROPOUT] = 0.0
    state_dropout: Annotated[float, DROPOUT] = 0.0


class GatedLayer(RecurrentLayer):
    """A layer whose step is pointwise but for two products: W x + b of the input, U h + b' of its last output.

    The memory's first tensor is h, the last output. Weights and biases have PyTorch's names, shapes and order of gates,
    and start as PyTorch's do: uniform within +- 1 / sqrt(hidden size).
    """

    gates: ClassVar[int]
    """How many vectors of H units the products have."""

    def __init__(self, input_size: int, hidden_size: int, cell: Gated, forget_bias: float = 0.0) -> None:
        super().__init__()
        self.hidden_size, self.forget_bias = hidden_size, forget_bias
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        by_size_(self.parameters(), hidden_size)
        self.weight_dropout = WeightDropout(cell.weight_dropout)
        self.state_dropout = Dropout(cell.state_dropout, per="window")
        self.open_forget_gates()

    def open_forget_gates(self) -> None:
        if self.forget_bias:
            open_forget_gate_(self.bias_ih, self.forget_bias, self.gates)

    @abstractmethod
    def advance(self, of_input: Tensor, of_state: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """One step from the two products, each [B, gates * H]. Returns the output [B, H] and the new memory."""

    def step(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        into, recurrent, bias, recurrent_bias = self.weights()
        h = self.state_dropout(memory[0])
        return self.advance(linear(x, into, bias), linear(h, recurrent, recurrent_bias), memory)

    def kernel(self, x: Tensor) -> Kernel | None:
        """torch's kernel that reads windows like x faster than the loop, if there is one."""
        return None

    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        if not self.state_dropout.active and (kernel := self.kernel(x)) is not None:
            return self._fused(kernel, x, memory)
        into, recurrent, bias, recurrent_bias = self.weights()
        of_state = Repeated(recurrent, recurrent_bias, steps=x.shape[1], rows=x.shape[0])
        outputs = []
        for of_input in linear(x, into, bias).unbind(1):
            out, memory = self.advance(of_input, of_state(self.state_dropout(memory[0])), memory)
            outputs.append(out)
        return torch.stack(outputs, dim=1), memory

    def _fused(self, kernel: Kernel, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Read a window by one of torch's kernels, which on a GPU are cuDNN's."""
        if x.is_cuda:
            return cudnn_window(kernel, x, memory, self.weights(), self.training)
        out, *after = by_kernel(kernel, x, memory, self.weights(), self.training)
        return out, tuple(after)

    def weights(self) -> list[Tensor]:
        """The input matrix, the recurrent matrix and their biases, after the weight dropout of the current window."""
        return [self.weight_ih, self.weight_dropout(self.weight_hh), self.bias_ih, self.bias_hh]
