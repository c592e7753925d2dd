"""Keeps parts of a model in fp32 in mixed precision, or casts a weight again at each use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def full_precision(*tensors: Tensor, on: str | None = None) -> Iterator[tuple[Tensor, ...]]:
    """Under autocast: yields the tensors in fp32 and turns autocast off inside; otherwise yields them unchanged.

    `on`: do this only on this type of device.
    """
    device = tensors[0].device.type
    if torch.is_autocast_enabled(device) and on in (None, device):
        with torch.autocast(device, enabled=False):
            yield tuple(tensor.float() for tensor in tensors)
    else:
        yield tensors


@contextmanager
def uncached(device: str) -> Iterator[None]:
    """Autocast as it is on this type of device, but without its cache of cast weights.

    A weight that is used at each step of a window would have the gradients of all its uses added up in bf16 (1.6% off
    after 35 steps, 4.5% after 140); and a weight that an update changes would be used as it was before.
    """
    dtype, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
    with torch.autocast(device, dtype, enabled, cache_enabled=False):
        yield
