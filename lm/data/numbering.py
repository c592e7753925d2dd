"""Numbers the words of a text in the order in which they first come."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lm.data.text_size import TextSize, size_of
from lm.data.tokenisers import Tokeniser


class Part(NamedTuple):
    """A piece of text: the numbers of its words, uint32 [n], and its size."""

    ids: np.ndarray
    size: TextSize


class Words(dict[str, int]):
    """Words with their numbers. A word that is looked up for the first time gets the next number, and is `new`."""

    def __init__(self) -> None:
        self.new: list[str] = []

    def __missing__(self, word: str) -> int:
        self.new.append(word)
        number = self[word] = len(self)
        return number


class Numbering:
    """The words met so far, with their numbers."""

    def __init__(self, tokeniser: Tokeniser) -> None:
        self.tokeniser, self.words = tokeniser, Words()

    def part(self, text: str) -> Part:
        tokens = self.tokeniser.split(text)
        ids = np.fromiter(map(self.words.__getitem__, tokens), dtype=np.uint32, count=len(tokens))
        return Part(ids, size_of(text, self.tokeniser, len(tokens)))


class Answer(NamedTuple):
    """What a helper returns for a text: the part in the helper's own numbers, and the words that are new to it."""

    part: Part
    new: list[str]
