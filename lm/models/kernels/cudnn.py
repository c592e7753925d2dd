"""Windows of LSTM, GRU and plain RNN by cuDNN's kernels, on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lm.models.kernels.full_precision import product_type

Kernel = Callable[..., tuple[Tensor, ...]]
"""A function such as `torch.lstm`."""

ALIGNED = 8
"""Sizes are filled up with zeros to a multiple of this: a row of 16 bytes in bf16, as tensor cores read it."""


def cudnn_window(
    kernel: Kernel, x: Tensor, memory: tuple[Tensor, ...], weights: list[Tensor], training: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Read a window x [B, T, F] by one of torch's kernels, from the memory's parts [B, H].

    `weights` are the input matrix [gates * H, F], the recurrent matrix [gates * H, H] and their biases. Under autocast
    products are in its type; what is returned is in the weights' own. A unit that fills up has weights, input and
    memory of zero, stays at zero in each of these cells, and is cut off again.
    """
    units, into = memory[0].shape[-1], x.shape[-1]
    own, dtype = weights[0].dtype, product_type(weights[0])
    more, more_into = -units % ALIGNED, -into % ALIGNED
    # Autocast would run cuDNN's kernels in fp16 whatever its dtype is, and small gradients would vanish.
    with torch.autocast("cuda", enabled=False):
        parts = [F.pad(part.to(dtype), (0, more)) for part in memory]
        if more or more_into:
            x, gates = F.pad(x, (0, more_into)), [weight.unflatten(0, (-1, units)) for weight in weights]
            columns = [(0, more_into, 0, more), (0, more, 0, more), (0, more), (0, more)]
            weights = [F.pad(gate, by).flatten(0, 1) for gate, by in zip(gates, columns, strict=True)]
        # cuDNN needs the weights in one block of memory, in this order.
        pieces = torch.cat([weight.flatten() for weight in weights]).to(dtype).split([w.numel() for w in weights])
        block = [piece.view_as(weight) for piece, weight in zip(pieces, weights, strict=True)]
        out, *after = by_kernel(kernel, x.to(dtype), parts, block, training)
    return out[..., :units].to(own), tuple(part[..., :units].to(own) for part in after)


def by_kernel(
    kernel: Kernel, x: Tensor, memory: Sequence[Tensor], weights: list[Tensor], training: bool
) -> tuple[Tensor, ...]:
    """The outputs [B, T, H] of one of torch's kernels for one layer, and the memory's parts [B, H] at the end."""
    layers, dropout, bidirectional, batch_first = 1, 0.0, False, True
    parts = tuple(part.unsqueeze(0) for part in memory)
    state = parts if len(parts) > 1 else parts[0]
    out, *after = kernel(x, state, weights, True, layers, dropout, training, bidirectional, batch_first)
    return out, *(part.squeeze(0) for part in after)
