"""The linear recurrence h[t] = a[t] h[t-1] + b[t] over a window, for cells whose gates do not read their state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def linear_recurrence(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """All h[t] = a[t] * h[t-1] + b[t]: a and b [B, T, H], the h before the first step [B, H] -> [B, T, H].

    Values and gradients are those of the loop over time steps, in at least float32. `a` must lie between 0 and 1: no
    product of its values then overflows, so nothing is divided, and no logarithms are needed.
    """
    wide = torch.promote_types(b.dtype, torch.float32)
    found: Tensor = _Recurrence.apply(a.to(wide), b.to(wide), h.to(wide))
    return found


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h: Tensor) -> Tensor:
        found = _scan(a, b, h)
        ctx.save_for_backward(a, h, found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        a, h, found = ctx.saved_tensors
        # The gradient of h[t] is that of its own output and a[t+1] times the gradient of h[t+1]: the same recurrence,
        # backwards in time.
        (of_output,) = (gradient.flip(1) for gradient in gradients)
        back = a.roll(-1, dims=1).flip(1)  # its first value meets a zero
        of_b = _scan(back, of_output, torch.zeros_like(h)).flip(1)
        before = torch.cat([h.unsqueeze(1), found[:, :-1]], dim=1)
        return of_b * before, of_b, of_b[:, 0] * a[:, 0]


def _scan(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    return by_doubling(a, b, h) if b.is_cuda else by_steps(a, b, h)


def by_steps(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """The recurrence step by step: the fewest operations, and on a processor the fastest."""
    found = torch.empty_like(b)
    for t in range(b.shape[1]):
        h = torch.addcmul(b[:, t], a[:, t], h, out=found[:, t])
    return found


def by_doubling(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """The recurrence in log2(T) passes over the whole window (Hillis & Steele 1986), for a GPU.

    After the pass of reach d, b[t] is the sum of the last 2 d steps, and a[t] the product of their a.
    """
    found = torch.cat([b[:, :1] + a[:, :1] * h.unsqueeze(1), b[:, 1:]], dim=1)
    reach = 1
    while reach < b.shape[1]:
        found = torch.cat([found[:, :reach], found[:, reach:] + a[:, reach:] * found[:, :-reach]], dim=1)
        a = torch.cat([a[:, :reach], a[:, reach:] * a[:, :-reach]], dim=1)
        reach *= 2
    return found
