"""How the next input is chosen while training, and how often the weights are updated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class Forcing:
    """`feedback` is what the model reads next; `update` is how much it reads between two optimiser steps.

    truth: the corpus itself (teacher forcing, Williams & Zipser 1989). argmax: the model's own most probable word,
    starting from each window's true first word (free running). The two settings are independent: the classic exercise
    turns teacher forcing off and goes from one update a window to one a token in the same stroke.
    """

    feedback: Literal["truth", "argmax"] = "truth"
    update: Literal["window", "token"] = "window"

    def next_input(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Logits [B, V] for a place and the true words [B] there -> the words [B] that the model reads there."""
        return truth if self.feedback == "truth" else logits.detach().argmax(dim=-1)
