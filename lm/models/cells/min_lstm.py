"""The minimal LSTM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from lm.models.cells.cell import Cell, RecurrentLayer
from lm.models.cells.minimal import MinimalLayer, positive
from lm.models.initial.drawn import open_forget_gate_


@dataclass(frozen=True)
class MinLSTM(Cell):
    """minLSTM (Feng et al. 2024): h = f h + i g(candidate), all from the input alone, and f and i scaled to sum to one.

    It has no recurrent weights, so there is no dropout of them.

    Args:
        forget_bias: added to the initial bias of the forget gate.
    """

    forget_bias: float = 0.0

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return MinLSTMLayer(input_size, hidden_size, self.forget_bias)


class MinLSTMLayer(MinimalLayer):
    """One minLSTM layer; gates in the order input, forget, candidate."""

    gates: ClassVar[int] = 3

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float) -> None:
        super().__init__(input_size, hidden_size)
        self.forget_bias = forget_bias
        self.open_forget_gates()

    def open_forget_gates(self) -> None:
        open_forget_gate_(self.bias, self.forget_bias, gates=3)

    def factors(self, product: Tensor) -> tuple[Tensor, Tensor]:
        i, f, candidate = product.chunk(3, dim=-1)
        ahead = F.logsigmoid(f) - F.logsigmoid(i)
        # f / (f + i) and i / (f + i), exact also where one of them is tiny
        return ahead.sigmoid(), (-ahead).sigmoid() * positive(candidate)
