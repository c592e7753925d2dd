"""The interface of every recurrent cell."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from lm.system.bounds import Bounded

Memory = tuple[Tensor, ...]
"""The state of one layer: (h, c), each [B, H]."""


class RecurrentLayer(nn.Module, ABC):
    """One recurrent layer of `hidden_size` units."""

    hidden_size: int

    @abstractmethod
    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Read a window x [B, T, F]. Returns the outputs [B, T, H] and the memory after the last time step."""

    @abstractmethod
    def step(self, x: Tensor, memory: Memory) -> Memory:
        """Read one time step x [B, F]. Returns the new memory; its first tensor is the output [B, H]."""

    @abstractmethod
    def open_forget_gates(self) -> None:
        """Add the cell's `forget_bias` to the forget gate's biases. Call this after the biases are drawn again."""


class Cell(Bounded, ABC, group="model.cell"):
    """The settings of a recurrent cell. `layer` makes a layer of given sizes with these settings."""

    @abstractmethod
    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer: ...
