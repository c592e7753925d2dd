"""The score of a text: nats, tokens, unknown tokens, and the perplexity computed from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from lm.data.text_size import TextSize


@dataclass
class Score:
    """The score of a text: the sum of its tokens' nats, in float64, and how many tokens there are.

    Tokens with the id `unk` are unknown: the model reads them as `<unk>`. They are also counted apart, because a text
    of many unknown tokens is easy to predict.
    """

    unk: int
    nats: float = 0.0
    tokens: int = 0
    unknown: int = 0
    unknown_nats: float = 0.0

    def add(self, words: Tensor, nats: Tensor) -> None:
        """Add the ids of more tokens and their nats; both have the same shape, of any number of dimensions."""
        nats, unknown = nats.detach().cpu().double(), words.cpu() == self.unk
        self.nats += float(nats.sum())
        self.tokens += nats.numel()
        self.unknown += int(unknown.sum())
        self.unknown_nats += float(nats[unknown].sum())

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp(nats / tokens) over the whole text; inf if the result is too large for a float."""
        return perplexity(self.nats_per_token)

    @property
    def perplexity_known(self) -> float:
        """The perplexity without the unknown tokens; nan if all are unknown."""
        known = self.tokens - self.unknown
        return perplexity((self.nats - self.unknown_nats) / known) if known else math.nan

    def as_dict(self) -> dict[str, float]:
        return {"perplexity": self.perplexity, "nats": self.nats, "tokens": self.tokens, "unknown": self.unknown}


def per_text(nats: float, size: TextSize | None) -> dict[str, float | None]:
    """Figures that compare between tokenisers, for a text of this size that has these nats in all.

    `perplexity_per_word` is exp(nats / words); bits are nats / ln 2, over all characters or bytes as read, line ends
    included. All are None if the text was not scored whole, and its size is None.
    """
    if size is None:
        return dict.fromkeys(("words", "perplexity_per_word", "bits_per_character", "bits_per_byte"))
    bits = nats / math.log(2)
    per_word = perplexity(nats / size.words)
    per = {"bits_per_character": bits / size.characters, "bits_per_byte": bits / size.bytes}
    return {"words": size.words, "perplexity_per_word": per_word, **per}


def perplexity(nats_per_token: float) -> float:
    """Perplexity, exp(nats per token); inf if the result is too large for a float."""
    return math.inf if nats_per_token > 700 else math.exp(nats_per_token)
