"""What every recurrent cell offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from lm.system.bounds import Bounded

Memory = tuple[Tensor, ...]
"""What one layer remembers: (h, c), each [B, H]."""


class RecurrentLayer(nn.Module, ABC):
    """One recurrent layer of `hidden_size` units."""

    hidden_size: int

    @abstractmethod
    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """x [B, T, F] to outputs [B, T, H], and the memory behind the last one."""

    @abstractmethod
    def step(self, x: Tensor, memory: Memory) -> Memory:
        """One time step: x [B, F] to the new memory, whose first part is the output."""

    @abstractmethod
    def open_forget_gates(self) -> None:
        """Add the cell's `forget_bias` to biases that have just been drawn."""


class Cell(Bounded, ABC, group="model.cell"):
    """Settings that become a layer once its sizes are known."""

    @abstractmethod
    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer: ...
