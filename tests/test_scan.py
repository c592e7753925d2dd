"""The linear recurrence: both ways to compute it are the loop over time, values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lm.models.kernels import scan

Scan = Callable[[Tensor, Tensor, Tensor], Tensor]
WAYS = {"steps": scan.by_steps, "doubling": scan.by_doubling}


def loop(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    found = []
    for t in range(b.shape[1]):
        h = a[:, t] * h + b[:, t]
        found.append(h)
    return torch.stack(found, dim=1)


def drawn(seed: int, batch: int, steps: int, units: int) -> list[Tensor]:
    """a, some of it exactly 0 and 1, b and h."""
    generator = torch.Generator().manual_seed(seed)
    a = (1.4 * torch.rand(batch, steps, units, generator=generator, dtype=torch.float64) - 0.2).clamp(0, 1)
    b = torch.randn(batch, steps, units, generator=generator, dtype=torch.float64)
    return [a, b, torch.randn(batch, units, generator=generator, dtype=torch.float64)]


def with_gradients(read: Scan, inputs: list[Tensor], towards: Tensor) -> list[Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    out = read(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, towards)]


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 40), st.integers(1, 3))
def test_both_ways_are_the_loop(seed: int, batch: int, steps: int, units: int) -> None:
    inputs = drawn(seed, batch, steps, units)
    towards, plain = torch.randn_like(inputs[1]), scan._scan
    expected = with_gradients(loop, inputs, towards)
    for way in WAYS.values():
        scan._scan = way  # the backward pass is a scan too
        try:
            torch.testing.assert_close(with_gradients(scan.linear_recurrence, inputs, towards), expected)
        finally:
            scan._scan = plain
        torch.testing.assert_close(way(*inputs), expected[0])


@pytest.mark.parametrize("way", WAYS)
def test_a_long_text_neither_overflows_nor_loses_digits(way: str) -> None:
    """Dividing by the product of all a, as a scan by cumulative products does, would."""
    a, b, h = drawn(0, 1, 2000, 4)
    found = WAYS[way](a.float(), b.float(), h.float())
    torch.testing.assert_close(found.double(), loop(a, b, h), rtol=1e-5, atol=1e-5)
    nothing, everything = torch.zeros(1, 300, 2), torch.ones(1, 300, 2)
    assert torch.equal(WAYS[way](nothing, b[:, :300, :2].float(), h[:, :2].float()), b[:, :300, :2].float())
    kept = WAYS[way](everything, torch.zeros(1, 300, 2), h[:, :2].float())
    assert torch.equal(kept, h[:, :2].float().unsqueeze(1).expand(1, 300, 2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_it_is_computed_in_at_least_float32(dtype: torch.dtype) -> None:
    inputs = [tensor.to(dtype) for tensor in drawn(0, 2, 9, 3)]
    expected = loop(*(tensor.float() for tensor in inputs))
    leaves = [tensor.requires_grad_() for tensor in inputs]
    found = scan.linear_recurrence(*leaves)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    assert {gradient.dtype for gradient in torch.autograd.grad(found.sum(), leaves)} == {dtype}


def test_only_what_needs_a_gradient_gets_one() -> None:
    a, b, h = drawn(0, 2, 5, 3)
    scan.linear_recurrence(a, b.requires_grad_(), h).sum().backward()
    assert (a.grad, h.grad) == (None, None)
    assert b.grad is not None
    assert not scan.linear_recurrence(a, b.detach(), h).requires_grad
