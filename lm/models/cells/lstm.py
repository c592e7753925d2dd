"""The LSTM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lm.models.cells.cell import Memory, RecurrentLayer
from lm.models.cells.gated import Gated, GatedLayer, Kernel


@dataclass(frozen=True)
class LSTM(Gated):
    """The LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000).

    Args:
        weight_dropout: see `Gated`.
        state_dropout: see `Gated`. The window is then read step by step, without torch's fused kernel.
        forget_bias: added to torch's initial bias of the forget gate (Jozefowicz et al. 2015 recommend 1).
    """

    forget_bias: float = 0.0

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return LSTMLayer(input_size, hidden_size, self, self.forget_bias)


class LSTMLayer(GatedLayer):
    """One LSTM layer; memory (h, c), each [B, H]; gates in torch's order: input, forget, candidate, output.

    `window` uses torch's fused kernel, with or without weight dropout.
    """

    gates: ClassVar[int] = 4

    def first(self, batch_size: int) -> Memory:
        return (*super().first(batch_size), *super().first(batch_size))

    def kernel(self, x: Tensor) -> Kernel:
        return torch.lstm

    def advance(self, of_input: Tensor, of_state: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        i, f, g, o = (of_input + of_state).chunk(4, dim=-1)
        c = f.sigmoid() * memory[1] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)
