"""Single characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lm.data.tokenisers.tokeniser import EOS, Tokeniser


@dataclass(frozen=True, kw_only=True)
class Characters(Tokeniser):
    """Each character (Unicode code point) is a token. The vocabulary is the characters of the training text."""

    unit: ClassVar[str] = "character"
    option: ClassVar[str] = "characters"

    def tokens(self, text: str) -> list[str]:
        return [EOS if character == "\n" else character for character in text]

    def join(self, tokens: Sequence[str]) -> str:
        return "".join(tokens)
