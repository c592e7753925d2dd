"""Draws random initial weights. `from_text` computes initial weights from the training text.

Weights that no function of these two files sets start as torch draws them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

LEFT_BY_CUT = 0.8796
"""The standard deviation of a standard normal distribution after truncation at two deviations."""


@torch.no_grad()
def truncated_normal_(matrix: Tensor, variance_before: bool = False) -> None:
    """Fill a matrix [rows, fan-in] from a normal distribution truncated at two deviations, of variance 1 / fan-in.

    `variance_before`: 1 / fan-in is the variance before the truncation instead of after it.
    """
    deviation = math.sqrt(1 / matrix.shape[-1]) / (1 if variance_before else LEFT_BY_CUT)
    nn.init.trunc_normal_(matrix, std=deviation, a=-2 * deviation, b=2 * deviation)


def shared_embedding_(matrix: Tensor) -> None:
    """Initialise an embedding [V, E] that is also the output matrix.

    With values from N(0, 1), the untrained model's output distribution would be far from uniform.
    """
    nn.init.uniform_(matrix, -0.1, 0.1)


def shared_output_(bias: Tensor) -> None:
    """Initialise the bias [V] of an output layer that shares the embedding's matrix."""
    nn.init.zeros_(bias)


@torch.no_grad()
def open_forget_gate_(bias: Tensor, amount: float) -> None:
    """Add `amount` to the forget gate's part of an LSTM's bias [4 H]; gates are in torch's order i, f, g, o."""
    hidden = len(bias) // 4
    bias[hidden : 2 * hidden] += amount


def uniform_(weights: Iterable[Tensor], scale: float) -> None:
    """Draw every weight uniformly within +- `scale` (Zaremba et al. 2014)."""
    for weight in weights:
        nn.init.uniform_(weight, -scale, scale)


def embedding_and_output_(embedding: Tensor, output: nn.Linear | None, scale: float | None) -> None:
    """Draw the embedding [V, E] and the output matrix uniformly within +- `scale`, and set the output bias to 0.

    If `scale` is None, the matrices are drawn from a truncated normal distribution.
    """
    for matrix in [embedding] if output is None else [embedding, output.weight]:
        if scale is None:
            truncated_normal_(matrix)
        else:
            nn.init.uniform_(matrix, -scale, scale)
    if output is not None:
        nn.init.zeros_(output.bias)
