"""A linear map that is applied at each step of a window, where each step needs the result of the step before."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lm.models.kernels.full_precision import product_type
from lm.models.kernels.linear import packed, product


class Repeated:
    """Applies a linear map at each step of a window, and computes the weight's gradient as one product over all steps.

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
        self.weight = weight.detach().to(product_type(weight))
        self._steps, self._rows = steps, rows
        self._read: list[Tensor] = []  # the input of each step: [rows, K]
        self._added: tuple[Tensor, ...] = _Added.apply(weight, bias, self._read, steps, rows).unbind(0)

    def __call__(self, x: Tensor) -> Tensor:
        step = len(self._read)
        x = x.to(self.weight.dtype)
        self._read.append(x.detach())
        found: Tensor = _Product.apply(x, self)
        return found + self._added[step]

    @cached_property
    def product(self) -> Callable[[Tensor], Tensor]:
        """x [rows, K] -> x weight^T [rows, N]."""
        return packed(self.weight, self._rows, self._steps)

    @cached_property
    def back(self) -> Callable[[Tensor], Tensor]:
        """The gradient of a product [rows, N] -> that of its input [rows, K]."""
        return packed(self.weight.t(), self._rows, self._steps)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, of: Repeated) -> Tensor:
        ctx.of = of
        ctx.save_for_backward(of.weight)
        return of.product(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        _ = ctx.saved_tensors  # torch raises its error here if the weight has changed
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
            product(gradient.to(read.dtype).t(), read.t()).to(gradient.dtype) if to_weight else None,
            gradient.sum(0) if to_bias else None,
            None,
            None,
            None,
        )
