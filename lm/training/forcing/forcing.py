"""How the next input is chosen in training, and how often the weights are updated."""

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
    """Which word the model reads next in training, and how much it reads between two optimiser steps.

    These two choices are independent. The classic exercise changes both at once: without teacher forcing, it also
    updates the weights after each token, not after each window.

    Args:
        feedback: the next word to read. truth: the true word (teacher forcing, Williams & Zipser 1989). argmax: the
            model's most probable word (free running). sample: a word drawn from the model. The first word of each
            window is always true.
        update: one optimiser step for each "window" or for each "token".
        decay: scheduled sampling: each word read is the true word with a probability that falls during training, and
            otherwise a word chosen by `feedback` (null: no scheduled sampling).
    """

    feedback: Literal["truth", "argmax", "sample"] = "truth"
    update: Literal["window", "token"] = "window"
    decay: Decay | None = None

    def __post_init__(self) -> None:
        if self.decay is not None and self.feedback == "truth":
            raise UserError("forcing.decay mixes true words with others: set forcing.feedback to argmax or sample")

    def truth_share(self, windows: int) -> float:
        """The probability that the model reads a true word, after `windows` windows of training."""
        if self.feedback == "truth":
            return 1.0
        return self.decay.share(windows) if self.decay is not None else 0.0

    def next_input(self, logits: Tensor, truth: Tensor, truth_share: float) -> Tensor:
        """Choose the words [B] that the model reads next, from its logits [B, V] for them and the true words [B]."""
        if truth_share >= 1:
            return truth
        logits = logits.detach()
        # Diverged logits give arbitrary words here; training stops later, because their loss is not finite.
        own = logits.argmax(dim=-1) if self.feedback == "argmax" else draw(logits.softmax(dim=-1))
        if truth_share <= 0:
            return own
        return torch.where(torch.rand(truth.shape, device=truth.device) < truth_share, truth, own)
