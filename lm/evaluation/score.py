"""Nats, tokens and the perplexity computed from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Score:
    """The sum of nats over a text, in float64, and the number of tokens."""

    nats: float = 0.0
    tokens: int = 0

    def __iadd__(self, nats: Tensor) -> Score:
        """Add the nats of more tokens, in any shape."""
        self.nats += float(nats.detach().cpu().double().sum())
        self.tokens += nats.numel()
        return self

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp(nats / tokens) over the whole text; inf if that does not fit a float."""
        return perplexity(self.nats_per_token)

    def as_dict(self) -> dict[str, float]:
        return {"perplexity": self.perplexity, "nats": self.nats, "tokens": self.tokens}


def perplexity(nats_per_token: float) -> float:
    """exp(nats per token); inf if that does not fit a float."""
    return math.inf if nats_per_token > 700 else math.exp(nats_per_token)
