"""The floor: the time that the matrix products alone of a training step take."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lm.models.kernels.linear import linear, packed
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.timing import seconds
from lm.system.memory import keep_freed_memory


class FloorRival:
    """Computes only the matrix products of a training step, each in the fastest way: into preallocated memory, as the
    model's own linear maps do, or, if it is repeated, with a packed weight (packing is not counted)."""

    def __init__(self, sizes: Sizes, count: int, precision: str) -> None:
        b, t, h, v = sizes.batch_size, sizes.window, sizes.hidden_size, sizes.vocab_size
        keep_freed_memory()
        self.count = count
        self.dtype = torch.bfloat16 if precision.startswith("bf16") else torch.float32
        self.products: list[tuple[Callable[[], Tensor], int]] = []
        for layer in range(sizes.num_layers):
            into = sizes.embedding_size if layer == 0 else h
            self._add(t * b, into, 4 * h)  # input projections
            self._add(b, h, 4 * h, times=t)  # the recurrence
            self._add(b, 4 * h, h, times=t)  # its gradient, step by step
            self._add(4 * h, t * b, h)  # gradients of both matrices and of the input
            self._add(4 * h, t * b, into)
            self._add(t * b, 4 * h, into)
        self._add(t * b, h, v)  # logits, and the gradients of matrix and input
        self._add(v, t * b, h)
        self._add(t * b, v, h)

    def _add(self, rows: int, inner: int, columns: int, times: int = 1) -> None:
        a, b = torch.randn(rows, inner, dtype=self.dtype), torch.randn(inner, columns, dtype=self.dtype)
        in_place, weight = partial(torch.mm, a, b, out=torch.empty(rows, columns, dtype=self.dtype)), b.t().contiguous()
        ways = [in_place, partial(linear, a, weight), partial(packed(weight, rows, times), a)]
        self.products.append((min(ways, key=shortest), times))

    @torch.no_grad()
    def __call__(self) -> float:
        start = time.perf_counter()
        for _ in range(self.count):
            for product, times in self.products:
                for _ in range(times):
                    product()
        return (time.perf_counter() - start) / self.count


@torch.no_grad()
def shortest(work: Callable[[], object], calls: int = 5) -> float:
    """Call `work` several times, after one uncounted call; returns the seconds of the fastest call."""
    work()
    return min(seconds(work) for _ in range(calls))
