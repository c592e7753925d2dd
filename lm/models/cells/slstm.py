"""The sLSTM: an LSTM with exponential gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lm.models.cells.cell import Memory, RecurrentLayer
from lm.models.cells.gated import Gated, GatedLayer
from lm.models.kernels.full_precision import at_least_fp32

NOTHING_YET = -1e4
"""The stabiliser before the first word: so far below every gate that the first word's is taken, and yet finite."""


@dataclass(frozen=True)
class SLSTM(Gated):
    """The sLSTM of xLSTM (Beck et al. 2024): exponential input gates, a normaliser and a stabiliser.

        c = f c + i tanh(z);  n = f n + i;  h = sigmoid(o) c / n      with i = exp(.) and f = sigmoid(.)

    The stabiliser m = max(log f + m, log i) scales c and n by exp(-m), so that no exponential overflows; h does not
    depend on it. One head: the recurrent matrix is full. The paper's blocks around the cell (normalisation, projection)
    are not part of it.

    Args:
        weight_dropout: see `Gated`.
        state_dropout: see `Gated`.
        forget_bias: added to the initial bias of the forget gate.
    """

    forget_bias: float = 0.0

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return SLSTMLayer(input_size, hidden_size, self, self.forget_bias)


class SLSTMLayer(GatedLayer):
    """One sLSTM layer; memory (h, c, n, m), each [B, H]; gates in the order input, forget, candidate, output."""

    gates: ClassVar[int] = 4

    def first(self, batch_size: int) -> Memory:
        (zeros,) = super().first(batch_size)
        return zeros, zeros.clone(), zeros.clone(), torch.full_like(zeros, NOTHING_YET)

    def advance(self, of_input: Tensor, of_state: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        _, c, n, m = memory
        log_i, f, z, o = at_least_fp32(of_input + of_state).chunk(4, dim=-1)
        log_f = F.logsigmoid(f) + m
        with torch.no_grad():  # h does not depend on m
            highest = torch.maximum(log_f, log_i)
        i, f = (log_i - highest).exp(), (log_f - highest).exp()
        c, n = f * c + i * z.tanh(), f * n + i
        h = (o.sigmoid() * c / n).to(self.weight_hh.dtype)
        return h, (h, c, n, highest)
