"""From a model and a text to nats, tokens and perplexity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lm.data.streams import EVAL_WINDOW, one_stream
from lm.models.base import LanguageModel


@dataclass
class Score:
    """Nats over a text, summed in float64, and the number of tokens that they were paid for."""

    nats: float = 0.0
    tokens: int = 0

    def __iadd__(self, nats: Tensor) -> Score:
        """Add the nats of further tokens, any shape."""
        self.nats += float(nats.detach().cpu().double().sum())
        self.tokens += nats.numel()
        return self

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp(nats / tokens) over the whole text; inf where that does not fit a float."""
        return perplexity(self.nats_per_token)

    def as_dict(self) -> dict[str, float]:
        return {"perplexity": self.perplexity, "nats": self.nats, "tokens": self.tokens}


def perplexity(nats_per_token: float) -> float:
    """exp(nats), inf where that does not fit a float."""
    return math.inf if nats_per_token > 700 else math.exp(nats_per_token)


class Static:
    """The standard evaluation: fixed weights, one unbroken stream from a zero state, the first token given.

    `window` tokens are read at a time; no figure depends on it.
    """

    name = "static"

    def __init__(self, window: int = EVAL_WINDOW) -> None:
        self.window = window

    def nats(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Tensor]:
        """Ids [N] -> the nats of ids[1:], a float32 vector a window, in reading order. The model stays as it was."""
        device = next(model.parameters()).device
        was_training = model.training
        model.eval()
        try:
            state = None
            for window in one_stream(ids, self.window):
                with torch.inference_mode():  # not around the yield: the mode would leak into the caller
                    state = state or model.initial_state(1)
                    hidden, state = model(window.inputs.to(device), state)
                    nats = model.head.nll(hidden, window.targets.to(device))[0].cpu()
                yield nats
        finally:
            model.train(was_training)
