"""How a model reads a text as one unbroken stream, and gives each word its nats."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm.data.streams import EVAL_WINDOW, one_stream
from lm.models.interfaces import Head, LanguageModel


class Scored(NamedTuple):
    """A scored part of a text: word ids [n], and the nats of each word, float32 [n]."""

    words: Tensor
    nats: Tensor


class Reading(NamedTuple):
    """A part of a text that a model read: word ids [n], nats [n], and hidden vectors [n, H] that predict the words."""

    words: Tensor
    nats: Tensor
    hidden: Tensor


@contextmanager
def unchanged(model: nn.Module, weights: bool = False) -> Iterator[None]:
    """On exit, also after an error, restore all modes (training or evaluation); with `weights`, also the weights."""
    modes = [(module, module.training) for module in model.modules()]
    saved = [(weight, weight.detach().clone()) for weight in model.parameters()] if weights else []
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, before in saved:
                weight.copy_(before)
        for module, training in modes:
            module.training = training


def token_nats(head: Head, hidden: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Nats of each target word, float32 [...], from hidden vectors [..., H]; logits are divided by `temperature`."""
    if temperature == 1:
        return head.nll(hidden, targets)
    logits = head.logits(hidden).flatten(0, -2).float() / temperature
    return F.cross_entropy(logits, targets.flatten(), reduction="none").view(targets.shape)


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def read_stream(
    model: LanguageModel, ids: np.ndarray, window: int = EVAL_WINDOW, temperature: float = 1.0
) -> Iterator[Reading]:
    """Read ids [N] as one stream from the first state, with fixed weights. Yields ids[1:] in parts of `window` words.

    In ids of documents (`lm.data.documents.Ids`) each document is read from the first state.
    """
    device, state = device_of(model), model.initial_state(1)
    for piece in one_stream(ids, window):
        with torch.inference_mode():  # not around the yield: the mode would leak into the caller
            hidden, state = model(piece.inputs.to(device), state, piece.reset)
            nats = token_nats(model.head, hidden, piece.targets.to(device), temperature)
        yield Reading(piece.targets[0], nats[0], hidden[0])
