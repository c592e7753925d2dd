"""What minGRU and minLSTM share: gates that read the input alone, so that a window is one product and one scan."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from lm.models.cells.cell import Memory, RecurrentLayer
from lm.models.initial.drawn import by_size_
from lm.models.kernels.full_precision import at_least_fp32
from lm.models.kernels.linear import linear
from lm.models.kernels.scan import linear_recurrence


class MinimalLayer(RecurrentLayer):
    """A layer h = a h + b whose a and b are functions of the input (Feng et al. 2024); memory (h,), [B, H].

    Candidates and h are positive. The first h is 0.5, the candidate of a zero input, as in the paper's code. A carried
    h is the value itself, not its logarithm, so that a window and steps continue from it alike.
    """

    gates: ClassVar[int]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.weight = nn.Parameter(torch.empty(self.gates * hidden_size, input_size))
        self.bias = nn.Parameter(torch.empty(self.gates * hidden_size))
        by_size_(self.parameters(), input_size)

    @abstractmethod
    def factors(self, product: Tensor) -> tuple[Tensor, Tensor]:
        """a and b [..., H], from the product of the input [..., gates * H]."""

    def first(self, batch_size: int) -> Memory:
        return (self.weight.new_full((batch_size, self.hidden_size), 0.5),)

    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        # The paper scans logarithms, because its scan would overflow without. This one cannot: for 20 x 30 tokens and
        # 1024 units it takes 2.3 ms forward and backward (logarithms: 36, two cores), and after 512 tokens its relative
        # error is 6e-7 (logarithms: 2e-4).
        a, b = self.factors(at_least_fp32(linear(x, self.weight, self.bias)))
        h = linear_recurrence(a, b, memory[0])
        return h.to(self.weight.dtype), (h[:, -1],)

    def step(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        a, b = self.factors(at_least_fp32(linear(x, self.weight, self.bias)))
        h = a * memory[0] + b
        return h.to(self.weight.dtype), (h,)


def positive(x: Tensor) -> Tensor:
    """The candidate's activation, x + 0.5 for x above 0 and sigmoid(x) below (Feng et al. 2024).

    Its derivative jumps from 1/4 to 1 at 0. In bf16, an x near 0 may be rounded to the other side.
    """
    return torch.where(x >= 0, x + 0.5, x.sigmoid())
