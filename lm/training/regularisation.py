"""Penalties added to the training loss; reported losses do not include them."""

from __future__ import annotations

from torch import Tensor

from lm.config.schemas import Regularisation


def penalty(weights: Regularisation, hidden: Tensor, raw: Tensor) -> Tensor | float:
    """The penalty to add to the mean loss (Merity et al. 2017).

    `hidden` and `raw` are the model's outputs after and before dropout, each [B, T, H].
    """
    total: Tensor | float = 0.0
    if weights.activation > 0:
        total = total + weights.activation * hidden.float().square().mean()
    if weights.temporal > 0 and raw.shape[1] > 1:
        total = total + weights.temporal * raw.diff(dim=1).float().square().mean()
    return total
