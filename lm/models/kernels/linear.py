"""Linear maps of few rows (one token per sequence). Most of their time is spent reading and writing the weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

FEW_ROWS = 64
"""Products of at most this many rows use oneDNN. It is faster than torch for few rows, but not for a window's 600."""
FEWEST_CALLS = 24
"""From this many calls on, a copy of the weights in oneDNN's layout is worth its time."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Like F.linear, but faster for few rows: x [..., K], weight [N, K], bias [N] -> x weight^T + bias [..., N].

    Weights packed by `lm.models.kernels.int8.int8_weights` are used in 8 bits if gradients are off.
    """
    packed = getattr(weight, "packed_int8", None)
    if packed is not None and not torch.is_grad_enabled():
        reduce_range = torch.backends.quantized.engine != "qnnpack"  # qnnpack does not need it, and warns each time
        product: Tensor = torch.ops.quantized.linear_dynamic(x, packed, reduce_range=reduce_range)
        return product if bias is None else product.add_(bias)
    if torch.compiler.is_exporting():
        return F.linear(x, weight, bias)
    if x.device.type != "cpu" or x.dtype != torch.float32 or weight.dtype != torch.float32 or x.dim() != 2:
        return F.linear(x, weight, bias)
    if len(x) > FEW_ROWS or torch.is_autocast_enabled("cpu") or _product is None:
        return F.linear(x, weight, bias)
    return _FewRows.apply(x, weight, bias) if torch.is_grad_enabled() else _onednn(x, weight, bias)


class Repeated:
    """Applies `linear` at each step of a window, and computes the weight's gradient as one product over all steps.

    Autograd alone would write a gradient of the weight's size at every step. Call this object `steps` times, each time
    with x [rows, K]. Under autocast the products are in its type; the weight is cast once, and what is returned is in
    the weight's own type.

    Args:
        weight: [N, K].
        bias: [N], or None.
        steps: number of calls.
        rows: rows of each input.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, steps: int, rows: int) -> None:
        device = weight.device.type
        self._autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        self._weight = weight.detach().to(self._autocast)
        self._steps, self._rows = steps, rows
        self._read: list[Tensor] = []  # the input of each step: [rows, K]
        self._added: tuple[Tensor, ...] = _Added.apply(weight, bias, self._read, steps, rows).unbind(0)

    def __call__(self, x: Tensor) -> Tensor:
        step = len(self._read)
        x = x.to(self._autocast)
        self._read.append(x.detach())
        product: Tensor = _Product.apply(x, self)
        return product + self._added[step]

    @cached_property
    def product(self) -> Callable[[Tensor], Tensor]:
        """x [rows, K] -> x weight^T [rows, N]."""
        return packed(self._weight, self._rows, self._steps)

    @cached_property
    def back(self) -> Callable[[Tensor], Tensor]:
        """The gradient of a product [rows, N] -> that of its input [rows, K]."""
        return packed(self._weight.t(), self._rows, self._steps)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, of: Repeated) -> Tensor:
        ctx.of = of
        return of.product(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.of.back(gradients[0].contiguous()), None


class _Added(torch.autograd.Function):
    """The term [steps, rows, N] that is added to the product of each step: the bias, or zero.

    The term and the product have the same gradient. So the backward pass of the term computes the weight's gradient,
    from the term's gradient and the inputs in `read`.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, read: list[Tensor], steps: int, rows: int) -> Tensor:
        ctx.read = read
        added = weight.new_zeros(weight.shape[0]) if bias is None else bias.clone()
        return added.expand(steps, rows, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0].flatten(0, 1)  # steps * rows, N
        read = torch.cat(ctx.read)
        to_weight, to_bias, *_ = ctx.needs_input_grad
        return (
            (gradient.to(read.dtype).t() @ read).to(gradient.dtype) if to_weight else None,
            gradient.sum(0) if to_bias else None,
            None,
            None,
            None,
        )


# Inductor's calls to oneDNN; there are no public ones for fp32. If they are missing, F.linear does the same, slower.
_product: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
_reorder: Any = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None) if _product is not None else None


def packed(weight: Tensor, rows: int, steps: int) -> Callable[[Tensor], Tensor]:
    """The map of x [rows, K] to x weight^T [rows, N], for `steps` calls with one weight [N, K]. It has no gradient.

    The weight is copied into the layout in which oneDNN reads it. At 20 x 1024 x 4096 in bf16 this takes 1.0 ms, and a
    product then 0.19 ms instead of 0.28 to 0.44; in fp32 0.34 instead of 0.75. A transposed weight takes 4.4 ms.
    """
    bf16 = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    can = weight.device.type == "cpu" and (bf16 or weight.dtype == torch.float32) and torch.backends.mkldnn.enabled
    if _reorder is None or not can or rows > FEW_ROWS or steps < FEWEST_CALLS:
        return partial(linear, weight=weight)
    reordered: Tensor = _reorder(weight.contiguous(), rows)
    return lambda x: _onednn(x, reordered, None)


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = _product(x, weight, bias, "none", [], "")
    return product


class _FewRows(torch.autograd.Function):
    """A linear map that uses oneDNN in the forward pass and, with several threads, for the gradient of x.

    With one thread, oneDNN takes a quarter longer than torch for the gradient of x (5.7 instead of 4.4 ms at
    20 x 4096 x 1024). The weight's gradient takes the same time with both.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients  # B, N
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        into_x: Tensor | None = None
        if to_x:
            alone = torch.get_num_threads() == 1
            into_x = gradient @ weight if alone else _onednn(gradient.contiguous(), weight.t(), None)
        return (
            into_x,
            gradient.t() @ x if to_weight else None,
            gradient.sum(0) if to_bias else None,
        )
