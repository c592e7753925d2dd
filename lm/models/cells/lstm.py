"""The LSTM, with dropout on its recurrent weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from lm.models.cells.cell import Cell, Memory, RecurrentLayer
from lm.models.dropout import WeightDropout
from lm.models.initial.drawn import open_forget_gate_
from lm.models.kernels.full_precision import full_precision
from lm.models.kernels.linear import linear
from lm.system.bounds import DROPOUT


@dataclass(frozen=True)
class LSTM(Cell):
    """Settings of LSTM layers.

    Args:
        weight_dropout: dropout rate of recurrent weights, with one mask for a whole window (Merity et al. 2018).
        forget_bias: added to torch's initial bias of the forget gate (Jozefowicz et al. 2015 recommend 1).
    """

    weight_dropout: Annotated[float, DROPOUT] = 0.0
    forget_bias: float = 0.0

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return LSTMLayer(input_size, hidden_size, self.weight_dropout, self.forget_bias)


class LSTMLayer(RecurrentLayer):
    """One layer of torch's LSTM, with dropout on the recurrent weights.

    `window` uses torch's fused kernel, with or without weight dropout.
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

    def open_forget_gates(self) -> None:
        open_forget_gate_(self.lstm.all_weights[0][2], self.forget_bias)  # b_ih

    def weights(self) -> list[Tensor]:
        """The input matrix, the recurrent matrix and their biases, after the weight dropout of the current window."""
        into, recurrent, *biases = self.lstm.all_weights[0]
        if not self.weight_dropout.active:
            return [into, recurrent, *biases]
        return [into, self.weight_dropout(recurrent), *biases]

    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        # As in LSTMLanguageModel.read: no cuDNN LSTM in fp16.
        with full_precision(x, *(part.unsqueeze(0) for part in memory), on="cuda") as (x, h, c):
            if self.weight_dropout.active:
                weights = self.weights()
                if x.is_cuda:  # cuDNN needs them in one block of memory, in this order
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
