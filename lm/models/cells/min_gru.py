"""The minimal gated recurrent unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lm.models.cells.cell import Cell, RecurrentLayer
from lm.models.cells.minimal import MinimalLayer, positive


@dataclass(frozen=True)
class MinGRU(Cell):
    """minGRU (Feng et al. 2024): h = (1 - z) h + z g(candidate), both from the input alone.

    It has no recurrent weights and no forget gate of its own, so there is nothing to set.
    """

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return MinGRULayer(input_size, hidden_size)


class MinGRULayer(MinimalLayer):
    """One minGRU layer; gates in the order update z, candidate."""

    gates: ClassVar[int] = 2

    def factors(self, product: Tensor) -> tuple[Tensor, Tensor]:
        z, candidate = product.chunk(2, dim=-1)
        return (-z).sigmoid(), z.sigmoid() * positive(candidate)  # sigmoid(-z) is 1 - sigmoid(z), and more exact
