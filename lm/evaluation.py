"""From a model and a text to nats, tokens and perplexity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lm.data.streams import EVAL_WINDOW, Windows, one_stream
from lm.errors import UserError
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


class Scored(NamedTuple):
    """A stretch of text as an evaluator scored it: word ids [n] and the nats paid for each, float32 [n]."""

    words: Tensor
    nats: Tensor


class Evaluator(Protocol):
    """A way to score a text."""

    name: str

    def nats(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Scored]: ...


def evaluate(evaluator: Evaluator, model: LanguageModel, ids: np.ndarray) -> tuple[Score, Scored]:
    """Score a whole text [N]: the sum, and the single words behind it."""
    score, parts = Score(), []
    for part in evaluator.nats(model, ids):
        score += part.nats
        parts.append(part)
    words, nats = (torch.cat(column) for column in zip(*parts, strict=True))
    return score, Scored(words, nats)


class Static:
    """The standard evaluation: fixed weights, one unbroken stream from a zero state, the first token given.

    `window` tokens are read at a time; no figure depends on it.
    """

    name = "static"

    def __init__(self, window: int = EVAL_WINDOW) -> None:
        if window < 1:
            raise UserError(f"evaluator.window must be at least 1; got {window}")
        self.window = window

    def nats(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Scored]:
        """Ids [N] -> ids[1:] and their nats, a window at a time, in reading order. The model stays as it was."""
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
                yield Scored(window.targets[0], nats)
        finally:
            model.train(was_training)


class FreeRunning:
    """The model fed its own most probable words, from each window's true first word on; the state runs on.

    How far it drifts when no truth holds it, in the terms of the classic exercise without teacher forcing. The figure
    depends on `window`. `streams` are read side by side for speed, and are fewer where the text is short. `limit` reads
    that many windows only.
    """

    name = "free_running"

    def __init__(self, window: int = 30, streams: int = 20, limit: int | None = None) -> None:
        if window < 1 or streams < 1:
            raise UserError(f"evaluator.window and evaluator.streams must be at least 1; got {window} and {streams}")
        if limit is not None and limit < 1:
            raise UserError(f"evaluator.limit must be null (all windows) or at least 1; got {limit}")
        self.window, self.streams, self.limit = window, streams, limit

    def windows(self, ids: np.ndarray) -> Windows:
        """Ids [N] as this evaluator reads them."""
        streams = max(1, min(self.streams, len(ids) // (self.window + 1)))
        return Windows(ids, streams, self.window, keep_last=True)

    def nats(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Scored]:
        """Ids [N] -> the words scored and their nats, window by window, in each stream by stream."""
        device = next(model.parameters()).device
        windows = self.windows(ids)
        was_training = model.training
        model.eval()
        try:
            state = None
            for window in islice(windows, self.limit):
                read, targets, nats = window.inputs[:, 0].to(device), window.targets.to(device), []
                with torch.inference_mode():
                    state = state or model.initial_state(len(targets))
                    for t in range(targets.shape[1]):
                        hidden, state = model.step(read, state)
                        logits = model.head.logits(hidden).float()
                        nats.append(F.cross_entropy(logits, targets[:, t], reduction="none"))
                        read = logits.argmax(dim=-1)
                yield Scored(window.targets.flatten(), torch.stack(nats, dim=1).flatten().cpu())
        finally:
            model.train(was_training)
