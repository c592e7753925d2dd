"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> Tensor:
    """Scale all gradients together so that their norm is at most `largest` (Pascanu et al. 2013).

    Returns their norm before that, a scalar.
    """
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    # On a CPU, reading the norm costs nothing and usually saves a pass over all gradients; a GPU would have to wait.
    # Tried and rejected: the fused optimisers' grad_scale saves the pass too, but writes the gradients back (2 of 70 ms
    # a token update at the classic exercise's size); norms by torch.dot (1 of 37 ms).
    if norm.device.type != "cpu" or not norm <= largest:
        nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm


class Clipping:
    """Clips gradients to a norm (0: not at all), and tells how large they were and how many updates were clipped."""

    def __init__(self, largest: float) -> None:
        self.largest = largest
        self._norm: Tensor | None = None  # of the latest update's gradients, before clipping
        self._updates = 0  # since the last figures
        self._clipped: Tensor | float = 0.0

    def clip(self, parameters: Iterable[nn.Parameter]) -> None:
        if self.largest > 0:
            self._norm = clip_gradients(parameters, self.largest)
            self._clipped = self._clipped + (self._norm > self.largest)  # on a GPU without waiting for it
            self._updates += 1

    def figures(self) -> dict[str, float]:
        """The latest norm, and the share of updates since the last call that were clipped; none without clipping."""
        if self._norm is None or not self._updates:
            return {}
        share = float(self._clipped) / self._updates
        self._updates, self._clipped = 0, 0.0
        return {"train/gradient_norm": float(self._norm), "train/clipped_share": share}
