"""The score of a text: nats, number of tokens, and the perplexity computed from these two."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Score:
    """The score of a text: the sum of its words' nats, in float64, and its number of tokens."""

    nats: float = 0.0
    tokens: int = 0

    def __iadd__(self, nats: Tensor) -> Score:
        """Add more tokens to the score; `nats` holds the nats of each token, in any shape."""
        self.nats += float(nats.detach().cpu().double().sum())
        self.tokens += nats.numel()
        return self

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp(nats / tokens) over the whole text; inf if the result is too large for a float."""
        return perplexity(self.nats_per_token)

    def as_dict(self) -> dict[str, float]:
        return {"perplexity": self.perplexity, "nats": self.nats, "tokens": self.tokens}


def perplexity(nats_per_token: float) -> float:
    """Perplexity, exp(nats per token); inf if the result is too large for a float."""
    return math.inf if nats_per_token > 700 else math.exp(nats_per_token)
