"""Dropout with one mask for a whole window or for each time step."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Per = Literal["window", "step"]
"""How long a dropout mask is used: for a whole window (locked or variational dropout), or for one time step."""


class WindowMask(nn.Module):
    """A dropout mask that stays the same until `forget`.

    Values are dropped with probability `p`; the values that stay are multiplied by 1 / (1 - p). The mask is drawn at
    its first use, and again if the shape changes. In evaluation mode nothing is dropped or drawn.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self._mask: Tensor | None = None

    @property
    def active(self) -> bool:
        return self.training and self.p > 0

    def forget(self) -> None:
        """Start a new window: a new mask will be drawn at the next use."""
        self._mask = None

    def mask(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
        """The current mask in `shape`. Its values are 0 or 1 / (1 - p), in at least float32 for an accurate scale."""
        held = self._mask
        if held is None or held.shape != shape or held.device != device:
            held = self._mask = self.drawn(shape, device, dtype)
        return held

    def drawn(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
        """A new mask, as `mask` describes it."""
        wide = torch.promote_types(dtype, torch.float32)
        if device.type != "cpu":
            return torch.empty(shape, device=device, dtype=wide).bernoulli_(1 - self.p).div_(1 - self.p)
        # On a CPU, bernoulli_ takes five times as long as uniform numbers: 150 ms for AWD-LSTM's recurrent weights.
        return torch.rand(shape, dtype=torch.float32).ge_(self.p).to(wide).div_(1 - self.p)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mask": None}  # a copy of a model starts a new window

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(WindowMask):
    """Dropout of units: x [B, T, F] or [B, F]. `per="window"` uses one mask [B, F] for all steps of a window, with a
    separate mask for each sequence (locked or variational dropout, Gal & Ghahramani 2016); `per="step"` is the usual
    dropout.
    """

    def __init__(self, p: float, per: Per = "window") -> None:
        super().__init__(p)
        self.per = per

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return x
        if self.per == "step" and x.device.type != "cpu":
            return F.dropout(x, self.p)
        if self.per == "step":
            mask = self.drawn(tuple(x.shape), x.device, x.dtype)
        else:
            mask = self.mask((x.shape[0], x.shape[-1]), x.device, x.dtype)
            mask = mask.unsqueeze(1) if x.ndim == 3 else mask
        return (x * mask).to(x.dtype)


class RowDropout(WindowMask):
    """Drops whole words, rows of an embedding matrix, for a whole window (Gal & Ghahramani 2016; Merity et al. 2018).

    Takes the vectors [..., E] of `tokens` [...] and returns them with the vectors of dropped words set to zero.
    """

    def forward(self, vectors: Tensor, tokens: Tensor, vocab_size: int) -> Tensor:
        if not self.active:
            return vectors
        mask = self.mask((vocab_size,), vectors.device, vectors.dtype)
        return (vectors * mask[tokens].unsqueeze(-1)).to(vectors.dtype)


class WeightDropout(WindowMask):
    """DropConnect: drops single weights of a matrix, with one mask for a whole window (Wan et al. 2013)."""

    def forward(self, weight: Tensor) -> Tensor:
        if not self.active:
            return weight
        return (weight * self.mask(tuple(weight.shape), weight.device, weight.dtype)).to(weight.dtype)
