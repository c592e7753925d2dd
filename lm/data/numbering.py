"""Numbers the words of a text in the order in which they first come."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from lm.data.text_size import TextSize, size_of
from lm.data.tokenisers import Tokeniser


class Part(NamedTuple):
    """A piece of text: the numbers of its words, uint32 [n], and its size."""

    ids: np.ndarray
    size: TextSize


class Numbering:
    """The words met so far, with their numbers."""

    def __init__(self, tokeniser: Tokeniser) -> None:
        self.tokeniser = tokeniser
        self.words: defaultdict[str, int] = defaultdict()
        self.words.default_factory = self.words.__len__

    def part(self, text: str) -> Part:
        tokens = self.tokeniser.split(text)
        ids = np.fromiter(map(self.words.__getitem__, tokens), dtype=np.uint32, count=len(tokens))
        return Part(ids, size_of(text, self.tokeniser, len(tokens)))


class Answer(NamedTuple):
    """What a helper returns for a text: the part in the helper's own numbers, and the words that are new to it."""

    part: Part
    new: list[str]
