"""How the next input is chosen while training, and how often the weights are updated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lm.sampling.sampler import draw
from lm.system.errors import UserError
from lm.training.forcing.decay import Decay


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
