"""Words between white space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lm.data.tokenisers.tokeniser import EOS, Tokeniser


@dataclass(frozen=True, kw_only=True)
class Whitespace(Tokeniser):
    """Splits at white space, as the published word-level corpora are read."""

    unit: ClassVar[str] = "word"
    option: ClassVar[str] = "whitespace"

    def tokens(self, text: str) -> list[str]:
        return text.replace("\n", f" {EOS} ").split()

    def join(self, tokens: Sequence[str]) -> str:
        return " ".join(tokens)
