"""The interface of tokenisers: text to tokens, and tokens to text."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any, ClassVar, Literal, Self

from lm.system.bounds import Bounded

EOS = "<eos>"
UNK = "<unk>"
PACKAGE = __name__.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Tokeniser(Bounded, ABC, group="data.tokeniser"):
    """Splits text into tokens. The end of each line is the token `<eos>`, whatever the tokeniser.

    The fields of a subclass are the settings in its file in conf/data/tokeniser/, and all that a checkpoint keeps.

    Args:
        lowercase: text is first made lower case.
        normalise: Unicode normal form that text is first brought to; None: text stays as it is.
    """

    lowercase: bool = False
    normalise: Literal["NFC", "NFKC"] | None = None

    option: ClassVar[str] = "tokeniser"
    """The tokeniser's name in conf/data/tokeniser/, for messages."""
    unit: ClassVar[str] = "token"
    """What a token is called in messages."""
    brings_words: ClassVar[bool] = False
    """Whether the tokeniser brings the vocabulary, so that it is not counted in the training text."""

    @abstractmethod
    def tokens(self, text: str) -> list[str]:
        """The tokens of a text that is already in its normal form."""

    @abstractmethod
    def join(self, tokens: Sequence[str]) -> str:
        """The text of the tokens of one line, as people write it."""

    def split(self, text: str) -> list[str]:
        """The tokens of a text, in or out of any vocabulary."""
        return self.tokens(self.prepared(text))

    def by_word(self, line: str) -> list[list[str]]:
        """The tokens of each word between white space, for a text without line ends.

        Tokens of white space belong to the word behind it, at the end of the line to the last word.
        """
        parts = parts_of(line)
        found = list(map(self.split, parts))
        whole = self.split(line) if parts else []
        return found if [token for tokens in found for token in tokens] == whole else self._placed(whole, parts)

    def _placed(self, tokens: list[str], parts: list[str]) -> list[list[str]]:
        """The tokens in each part of a line, if they depend on more than their part: found by their characters."""
        text, at = "".join(map(self.prepared, parts)), 0
        ends = list(accumulate(len(self.prepared(part)) for part in parts))
        found: list[list[str]] = [[] for _ in parts]
        for token in tokens:
            place = text.find(token[:1], at)
            at = at if place < 0 else place
            found[min(bisect(ends, at), len(ends) - 1)].append(token)
            for character in token:
                at = max(at, text.find(character, at) + 1)
        return found

    def shown(self, token: str) -> str:
        """A token as people read it."""
        return token

    def prepared(self, text: str) -> str:
        """The text in lower case and in normal form, if that is set."""
        text = text.lower() if self.lowercase else text
        return unicodedata.normalize(self.normalise, text) if self.normalise else text

    @property
    def own_words(self) -> Sequence[str]:
        """The vocabulary of a trained tokeniser that brings one; `<eos>` and `<unk>` may be missing."""
        raise NotImplementedError

    @property
    def kind(self) -> dict[str, str]:
        """The settings that make tokens alike, as typed."""
        typed = {"data.lowercase": str(self.lowercase).lower(), "data.normalise": self.normalise or "null"}
        return {"data/tokeniser": self.option, **typed}

    def trained(self, pieces: Iterable[str]) -> Self:
        """The tokeniser, ready to split text. `pieces` is the training text, for one that has to learn from it."""
        return self

    def as_node(self) -> dict[str, Any]:
        """A part of a configuration that builds this tokeniser again."""
        module = type(self).__module__
        place = PACKAGE if module.startswith(f"{PACKAGE}.") else module
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"_target_": f"{place}.{type(self).__qualname__}", **settings}

    def again(self, node: Mapping[str, Any]) -> Self:
        """A tokeniser of this class with the settings of a node that `as_node` returned."""
        return type(self)(**{key: value for key, value in node.items() if key != "_target_"})

    def source(self) -> dict[str, Any]:
        """All that determines the tokens: with equal sources and equal training texts they are equal."""
        return self.as_node()


def parts_of(line: str) -> list[str]:
    """A line cut into its words between white space, each with the white space before it."""
    parts = re.findall(r"\s*\S+", line)
    if parts:
        parts[-1] += line[sum(map(len, parts)) :]
    return parts
