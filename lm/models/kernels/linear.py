"""Linear maps and products by oneDNN, where it was measured to be faster than torch's own library."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW_ROWS = 64
"""Products of at most this many rows use oneDNN: most of their time is spent reading and writing the weights.

A window's 600 rows use it only with AVX512.
"""
AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
"""Whether oneDNN uses AVX512. torch's own library (MKL) does not on AMD's processors, and takes twice as long.

On Intel's processors, where MKL does, neither was measured. Milliseconds by torch | oneDNN for a weight of
10,000 x 1024 in fp32, two threads, AMD EPYC (Zen 4):

    rows    forward        gradient of x    of the weight
       1    2.1 | 0.8      1.4 | 1.8        1.0 | 1.3
       5    3.6 | 1.4      3.4 | 1.6        3.8 | 1.3
      20    5.3 | 2.2      5.1 | 2.4        2.8 | 1.5
      64    9.7 | 6.1       10 | 4.4        7.2 | 4.2
     600     64 | 29        58 | 31          59 | 30
"""
FEWEST_CALLS = 24
"""From this many calls on, a copy of the weights in oneDNN's layout is worth its time."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Like F.linear, but faster in fp32: x [..., K], weight [N, K], bias [N] -> x weight^T + bias [..., N].

    Weights packed by `lm.models.kernels.int8.int8_weights` are used in 8 bits if gradients are off.
    """
    in_8_bits = getattr(weight, "packed_int8", None)
    if in_8_bits is not None and not torch.is_grad_enabled():
        reduce_range = torch.backends.quantized.engine != "qnnpack"  # qnnpack does not need it, and warns each time
        rounded: Tensor = torch.ops.quantized.linear_dynamic(x, in_8_bits, reduce_range=reduce_range)
        return rounded if bias is None else rounded.add_(bias)
    if torch.compiler.is_exporting() or torch.is_autocast_enabled(x.device.type) or not _fp32(x, weight):
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    if not AVX512 and len(rows) > FEW_ROWS:
        return F.linear(x, weight, bias)
    found: Tensor = _Linear.apply(rows, weight, bias) if torch.is_grad_enabled() else _onednn(rows, weight, bias)
    return found.view(*x.shape[:-1], len(weight))


class Linear(nn.Linear):
    """torch's linear layer, computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def product(a: Tensor, b: Tensor) -> Tensor:
    """a b^T, without a gradient and never in 8 bits: a [M, K], b [N, K] -> [M, N]."""
    wide, few = AVX512 and min(a.shape) > 1, len(a) <= FEW_ROWS and b.is_contiguous()
    return _onednn(a, b, None) if (wide or few) and _fp32(a, b) else a @ b.t()


def packed(weight: Tensor, rows: int, calls: int) -> Callable[[Tensor], Tensor]:
    """The map of x [rows, K] to x weight^T [rows, N], for many calls with one weight [N, K]. It has no gradient.

    The weight is copied into the layout in which oneDNN reads it. At 20 x 1024 x 4096 in bf16 this takes 1.0 ms, and a
    product then 0.19 ms instead of 0.28 to 0.44; in fp32 0.34 instead of 0.75. A transposed weight takes 4.4 ms.
    """
    worth = rows <= FEW_ROWS and calls >= FEWEST_CALLS and weight.device.type == "cpu"
    if not worth or _reorder is None or not torch.backends.mkldnn.enabled or not _packable(weight.dtype):
        return partial(product, b=weight)
    reordered: Tensor = _reorder(weight.contiguous(), rows)
    return lambda x: _onednn(x, reordered, None)


# Inductor's calls to oneDNN; there are no public ones for fp32. If they are missing, F.linear does the same, slower.
_linear_pointwise: Any = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
)
_reorder: Any = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None) if _linear_pointwise is not None else None


def _fp32(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN can multiply these in fp32."""
    on_cpu = a.device.type == "cpu" and _linear_pointwise is not None
    return on_cpu and a.dtype == b.dtype == torch.float32 and a.numel() > 0 and b.numel() > 0


def _packable(dtype: torch.dtype) -> bool:
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = _linear_pointwise(x, weight, bias, "none", [], "")
    return found


class _Linear(torch.autograd.Function):
    """A linear map by oneDNN. Without AVX512 and with one thread, torch computes the gradient of x a quarter faster."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0].contiguous()  # B, N
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        into_x: Tensor | None = None
        if to_x:
            several = not AVX512 and torch.get_num_threads() > 1
            into_x = _onednn(gradient, weight.t(), None) if several else product(gradient, weight.t())
        return (
            into_x,
            product(gradient.t(), x.t()) if to_weight else None,
            gradient.sum(0) if to_bias else None,
        )
