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
        """x [B, T, F] to outputs [B, T, H], and the memory after the last step."""

    @abstractmethod
    def step(self, x: Tensor, memory: Memory) -> Memory:
        """One time step: x [B, F] to the new memory, whose first part is the output."""

    @abstractmethod
    def open_forget_gates(self) -> None:
        """Add the cell's `forget_bias` to newly drawn biases."""


class Cell(Bounded, ABC, group="model.cell"):
    """The settings of a cell; `layer` makes a layer of given sizes."""

    @abstractmethod
    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer: ...
