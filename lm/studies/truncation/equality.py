"""Compares training's gradient, with detached states, to the truncated gradient computed from its definition."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lm.data.streams import Window
from lm.models.interfaces import LanguageModel, detach


class Equality(NamedTuple):
    """The largest relative difference of two gradients, and how much of the last one truncation drops."""

    largest_difference: float
    dropped: float  # norm of (full - truncated) / norm of full
    cosine: float  # between the full and the truncated gradient


def compare_gradients(model: LanguageModel, windows: Sequence[Window]) -> Equality:
    """Compare two computations of the truncated gradient of each window's mean loss, in float64, without dropout.

    One detaches the state, the other follows the definition. The model is not changed.
    """
    model = copy.deepcopy(model).double().eval()
    detached, truncated = with_detach(model, windows), by_definition(model, windows)
    differences = [
        float((a - b).abs().max() / b.abs().max().clamp_min(torch.finfo(b.dtype).tiny))
        for mine, theirs in zip(detached, truncated, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    ]
    whole, cut = _flat(undetached(model, windows)), _flat(detached[-1])
    return Equality(
        max(differences),
        float((whole - cut).norm() / whole.norm()),
        float(torch.cosine_similarity(whole, cut, dim=0)),
    )


def with_detach(model: LanguageModel, windows: Sequence[Window]) -> list[list[Tensor]]:
    """Compute gradients as in training, with the state detached before each window: a list per window's loss."""
    state, found = model.initial_state(len(windows[0].inputs)), []
    for window in windows:
        hidden, state = model(window.inputs, detach(state))
        loss = model.head.nll(hidden, window.targets).mean()
        found.append(_gradients(loss, model))
    return found


def by_definition(model: LanguageModel, windows: Sequence[Window]) -> list[list[Tensor]]:
    """Compute the truncated gradient without detach: each window is read by a separate copy of the weights.

    The gradient by a window's copy counts only the effect of the weights within that window; effects through earlier
    windows go to the copies of those windows. This is the definition of truncation.
    """
    copies = [copy.deepcopy(model) for _ in windows]
    state, losses = model.initial_state(len(windows[0].inputs)), []
    for own, window in zip(copies, windows, strict=True):
        hidden, state = own(window.inputs, state)
        losses.append(own.head.nll(hidden, window.targets).mean())
    return [_gradients(loss, own, retain_graph=True) for own, loss in zip(copies, losses, strict=True)]


def undetached(model: LanguageModel, windows: Sequence[Window]) -> list[Tensor]:
    """The full gradient of the last window's loss, through all windows."""
    state = model.initial_state(len(windows[0].inputs))
    for window in windows:
        hidden, state = model(window.inputs, state)
    return _gradients(model.head.nll(hidden, windows[-1].targets).mean(), model)


def _gradients(loss: Tensor, model: LanguageModel, retain_graph: bool = False) -> list[Tensor]:
    """The gradient of each weight; zero for a weight without effect on the loss (an unused cluster, for example)."""
    return list(torch.autograd.grad(loss, list(model.parameters()), retain_graph=retain_graph, materialize_grads=True))


def _flat(gradients: list[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])
