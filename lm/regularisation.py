"""What is added to the training loss, and to nothing that is reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lm.errors import UserError

if TYPE_CHECKING:  # --help is to need no torch
    from torch import Tensor


@dataclass
class Regularisation:
    """Activation regularisation (Merity et al. 2017): weights of two means of squares.

    `activation` (alpha): of the last layer's output as dropout leaves it. `temporal` (beta): of that output's change
    from one time step to the next, before dropout.
    """

    activation: float = 0.0
    temporal: float = 0.0

    def __post_init__(self) -> None:
        for name in ("activation", "temporal"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"regularisation.{name} must be finite and not negative; got {getattr(self, name)}")

    def penalty(self, hidden: Tensor, raw: Tensor) -> Tensor | float:
        """Outputs after and before dropout, each [B, T, H], to nats to be added to the mean loss."""
        total: Tensor | float = 0.0
        if self.activation > 0:
            total = total + self.activation * hidden.float().square().mean()
        if self.temporal > 0 and raw.shape[1] > 1:
            total = total + self.temporal * raw.diff(dim=1).float().square().mean()
        return total
