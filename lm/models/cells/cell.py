"""The interface of every recurrent cell."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lm.models.kernels.full_precision import uncached
from lm.system.bounds import Bounded

Memory = tuple[Tensor, ...]
"""The state of one layer: as many tensors as its cell needs, each [B, ...]. For an LSTM (h, c), for a GRU (h,)."""


class RecurrentLayer(nn.Module, ABC):
    """One recurrent layer of `hidden_size` units. A subclass gives `step`, and a faster `window` if there is one."""

    hidden_size: int

    def first(self, batch_size: int) -> Memory:
        """The memory before the first time step; unless a cell has its own, one tensor of zeros [B, H]."""
        return (next(self.parameters()).new_zeros(batch_size, self.hidden_size),)

    @abstractmethod
    def step(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Read one time step x [B, F]. Returns the output [B, H] and the new memory."""

    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Read a window x [B, T, F]. Returns the outputs [B, T, H] and the memory after the last time step."""
        outputs = []
        with uncached(x.device.type):
            for one in x.unbind(1):
                out, memory = self.step(one, memory)
                outputs.append(out)
        return torch.stack(outputs, dim=1), memory

    def open_forget_gates(self) -> None:
        """Add the cell's `forget_bias` to the biases of its forget gate, if it has one.

        Call this after the biases are drawn again.
        """


class Cell(Bounded, ABC, group="model.cell"):
    """The settings of a recurrent cell. `layer` makes a layer of given sizes with these settings."""

    @abstractmethod
    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer: ...
