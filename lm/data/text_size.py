"""How much text there is, counted as it was read: the ground on which figures of different tokenisers compare."""

from __future__ import annotations

from dataclasses import dataclass

from lm.data.plain_text import bytes_of
from lm.data.tokenisers import Tokeniser, Whitespace


@dataclass(frozen=True)
class TextSize:
    """Words between white space with each line end as one more, characters, and bytes in UTF-8, both with line ends."""

    words: int = 0
    characters: int = 0
    bytes: int = 0

    def __add__(self, other: TextSize) -> TextSize:
        return TextSize(self.words + other.words, self.characters + other.characters, self.bytes + other.bytes)


def size_of(text: str, tokeniser: Tokeniser | None = None, tokens: int = 0) -> TextSize:
    """The size of a text. If it is known how many `tokens` a tokeniser finds, its words may not need to be counted."""
    by_words = isinstance(tokeniser, Whitespace) and tokeniser.normalise is None
    words = tokens if by_words else len(text.split()) + text.count("\n")
    return TextSize(words, len(text), bytes_of(text))
