"""How the next input is chosen while training, and how often the weights are updated."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lm.errors import UserError
from lm.sampling import draw


class Decay(ABC):
    """Scheduled sampling's share of true words, by the number of windows trained on so far (Bengio et al. 2015)."""

    @abstractmethod
    def share(self, windows: int) -> float: ...


@dataclass(frozen=True)
class Linear(Decay):
    """max(minimum, start - slope * windows)."""

    start: float = 1.0
    slope: float = 1e-4
    minimum: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.start <= 1 or self.slope < 0:
            raise UserError(
                "forcing.decay needs 0 <= minimum <= start <= 1 and slope >= 0; "
                f"got {self.minimum}, {self.start} and {self.slope}"
            )

    def share(self, windows: int) -> float:
        return max(self.minimum, self.start - self.slope * windows)


@dataclass(frozen=True)
class Exponential(Decay):
    """k ** windows, for a k below 1."""

    k: float = 0.9998

    def __post_init__(self) -> None:
        if not 0 < self.k < 1:
            raise UserError(f"forcing.decay.k must be between 0 and 1; got {self.k}")

    def share(self, windows: int) -> float:
        return self.k**windows


@dataclass(frozen=True)
class InverseSigmoid(Decay):
    """k / (k + exp(windows / k)), for a k of at least 1: close to 1 at first, one half after k * ln(k) windows."""

    k: float = 500.0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"forcing.decay.k must be at least 1; got {self.k}")

    def share(self, windows: int) -> float:
        exponent = windows / self.k
        return 0.0 if exponent > 700 else self.k / (self.k + math.exp(exponent))


@dataclass(frozen=True)
class Forcing:
    """`feedback` is what the model reads next; `update` is how much it reads between two optimiser steps.

    truth: the corpus itself (teacher forcing, Williams & Zipser 1989). argmax: the model's own most probable word,
    starting from each window's true first word (free running). sample: a word drawn from the model's distribution.
    With `decay` the true word is read with a share of the probability that falls as training goes on (scheduled
    sampling), else what `feedback` says. `update` is independent of all that: the classic exercise turns teacher
    forcing off and goes from one update a window to one a token in the same stroke.
    """

    feedback: Literal["truth", "argmax", "sample"] = "truth"
    update: Literal["window", "token"] = "window"
    decay: Decay | None = None

    def __post_init__(self) -> None:
        if self.decay is not None and self.feedback == "truth":
            raise UserError("forcing.decay mixes truth with something else: set forcing.feedback to argmax or sample")

    def truth_share(self, windows: int) -> float:
        """The probability that a true word is read, after `windows` windows of training."""
        if self.feedback == "truth":
            return 1.0
        return self.decay.share(windows) if self.decay is not None else 0.0

    def next_input(self, logits: Tensor, truth: Tensor, truth_share: float) -> Tensor:
        """Logits [B, V] for a place and the true words [B] there -> the words [B] that the model reads there."""
        if truth_share >= 1:
            return truth
        logits = logits.detach()
        # Diverged logits have no distribution to draw from; their loss, not this, is where training stops.
        own = logits.argmax(dim=-1) if self.feedback == "argmax" else draw(logits.softmax(dim=-1))
        if truth_share <= 0:
            return own
        return torch.where(torch.rand(truth.shape, device=truth.device) < truth_share, truth, own)
