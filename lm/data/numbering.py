"""Numbers the words of a text in the order in which they first come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lm.data.documents import MARK
from lm.data.text_size import TextSize, size_of
from lm.data.tokenisers import Tokeniser

NO_TEXT = TextSize()


class Part(NamedTuple):
    """A piece of text: the numbers of its words [n], its size, and at which words documents begin."""

    ids: np.ndarray
    size: TextSize = NO_TEXT
    starts: Sequence[int] = ()

    def places(self, before: int) -> list[int]:
        """The places of the tokens in front of the documents, in a text that has so many tokens before this part."""
        return [before + start - 1 for start in self.starts]


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
        return part_of(text, self.tokeniser, self.words, np.dtype(np.uint32))


def part_of(text: str, tokeniser: Tokeniser, numbers: Mapping[str, int], kind: np.dtype) -> Part:
    """Number the words of a piece of text, which may have marks of documents."""
    before, *documents = text.split(MARK)
    tokens, starts = tokeniser.split(before), []
    for document in documents:
        starts.append(len(tokens))
        tokens += tokeniser.split(document)
    ids = np.fromiter(map(numbers.__getitem__, tokens), dtype=kind, count=len(tokens))
    return Part(ids, size_of("".join([before, *documents]), tokeniser, len(tokens)), starts)


class Answer(NamedTuple):
    """What a helper returns for a text: the part in the helper's own numbers, and the words that are new to it."""

    part: Part
    new: list[str]
