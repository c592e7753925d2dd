"""Keeps parts of a model in fp32 in mixed precision."""

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
