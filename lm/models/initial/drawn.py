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
def open_forget_gate_(bias: Tensor, amount: float, gates: int = 4, place: int = 1) -> None:
    """Add `amount` to the forget gate's part of a bias [gates * H]; `place` is that of the forget gate, from 0."""
    bias.view(gates, -1)[place] += amount


def by_size_(weights: Iterable[Tensor], size: int) -> None:
    """Draw every weight of a layer uniformly within +- 1 / sqrt(`size`), as PyTorch's layers do.

    `size` is the hidden size where a layer reads its own output, and else the fan-in.
    """
    uniform_(weights, 1 / math.sqrt(size))


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


@torch.no_grad()
def transformer_(model: nn.Module, adding: Iterable[Iterable[nn.Linear]]) -> None:
    """Draw all matrices of a Transformer from N(0, 0.02), with biases of 0 (Radford et al. 2019).

    Those of each layer's `adding` maps, which add to the sum that runs through all layers, are divided by the square
    root of their number.
    """
    for part in model.modules():
        if isinstance(part, (nn.Linear, nn.Embedding)):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
    maps = [one for layer in adding for one in layer]
    for one in maps:
        one.weight /= math.sqrt(len(maps))
