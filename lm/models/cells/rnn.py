"""The plain recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lm.models.cells.cell import Memory, RecurrentLayer
from lm.models.cells.gated import Gated, GatedLayer
from lm.models.kernels.cudnn import Kernel

Nonlinearity = Literal["tanh", "relu"]


@dataclass(frozen=True)
class RNN(Gated):
    """The plain recurrent network without gates (Elman 1990; as a language model Mikolov et al. 2010).

    Args:
        weight_dropout: see `Gated`.
        state_dropout: see `Gated`.
        nonlinearity: "tanh" or "relu". With relu, h can grow without bound.
    """

    nonlinearity: Nonlinearity = "tanh"

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return RNNLayer(input_size, hidden_size, self)


class RNNLayer(GatedLayer):
    """One layer; memory (h,), [B, H]. `window` uses cuDNN on a GPU; see `GRULayer`."""

    gates: ClassVar[int] = 1

    def __init__(self, input_size: int, hidden_size: int, cell: RNN) -> None:
        super().__init__(input_size, hidden_size, cell)
        self.nonlinearity = cell.nonlinearity

    def kernel(self, x: Tensor) -> Kernel | None:
        if not x.is_cuda:
            return None
        return torch.rnn_tanh if self.nonlinearity == "tanh" else torch.rnn_relu

    def advance(self, of_input: Tensor, of_state: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        both = of_input + of_state
        h = both.tanh() if self.nonlinearity == "tanh" else both.relu()
        return h, (h,)
