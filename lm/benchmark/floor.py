"""The floor: what a training step would take if only its matrix products took time."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from lm.benchmark.sizes import Sizes


class FloorRival:
    """Only the matrix products of the step, each into memory that is there already."""

    def __init__(self, sizes: Sizes, count: int, precision: str) -> None:
        b, t, h, v = sizes.batch_size, sizes.window, sizes.hidden_size, sizes.vocab_size
        self.count = count
        self.dtype = torch.bfloat16 if precision.startswith("bf16") else torch.float32
        self.products: list[tuple[Tensor, Tensor, Tensor, int]] = []
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
        self.products.append((a, b, torch.empty(rows, columns, dtype=self.dtype), times))

    def __call__(self) -> float:
        start = time.perf_counter()
        for _ in range(self.count):
            for a, b, out, times in self.products:
                for _ in range(times):
                    torch.mm(a, b, out=out)
        return (time.perf_counter() - start) / self.count
