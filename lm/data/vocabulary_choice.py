"""How a corpus gets its vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from lm.data.encoded import checksum_of_words
from lm.data.tokenisers import UNK, Tokeniser
from lm.data.vocabulary import WHITESPACE, Vocab
from lm.system.bounds import AtLeast, Bounded, Count
from lm.system.errors import UserError

VocabSize = Annotated[int, AtLeast(3)]
"""The type of a vocabulary's size: at least 3, for `<eos>`, `<unk>` and one word."""


@dataclass(frozen=True)
class VocabularyChoice(Bounded, group="data"):
    """A vocabulary is given, or the tokeniser brings one, or it is counted in the training text.

    Args:
        tokeniser: splits the text.
        vocab_size: largest size of a counted vocabulary, `<eos>` and `<unk>` included; None: no limit.
        min_count: tokens that occur less often than this are not in a counted vocabulary: they become `<unk>`.
        given: the vocabulary to use. Its own tokeniser splits the text.

    Raises:
        UserError: for settings that contradict one another.
    """

    tokeniser: Tokeniser = WHITESPACE
    vocab_size: VocabSize | None = None
    min_count: Count = 1
    given: Vocab | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        counted = self.vocab_size is not None or self.min_count > 1
        if self.given is not None and counted:
            raise UserError("data.vocab_size and data.min_count choose a vocabulary, but one is given: leave them out")
        if self.given is None and counted and self.tokeniser.brings_words:
            size = "; its size is data.tokeniser.size" if "size" in self.tokeniser.as_node() else ""
            raise UserError(
                f"data/tokeniser={self.tokeniser.option} brings its vocabulary, so leave out data.vocab_size and "
                f"data.min_count{size}"
            )
        if self.given is not None and (wanted := differing(self.given.tokeniser, self.tokeniser)):
            raise UserError(f"the given vocabulary is of another tokeniser, or other settings of it: choose {wanted}")
        if self.given is not None and getattr(self.tokeniser, "path", None):
            raise UserError("data.tokeniser.path names a tokeniser, but one is given by data.vocab_from: leave it out")

    @property
    def splitter(self) -> Tokeniser:
        """The tokeniser that splits the text; it may still have to be trained."""
        return self.tokeniser if self.given is None else self.given.tokeniser

    def vocabulary(self, counts: Mapping[str, int], tokeniser: Tokeniser) -> Vocab:
        """The vocabulary for a training text whose words occur so often; `tokeniser` is the `splitter`, trained."""
        if self.given is not None:
            vocab = Vocab(self.given.words, tokeniser)
        elif tokeniser.brings_words:
            vocab = Vocab.from_words(tokeniser.own_words, tokeniser)
        else:
            return Vocab.from_counts(counts, tokeniser, self.vocab_size, self.min_count)
        vocab.writes_unk = UNK in counts and not tokeniser.brings_words
        return vocab

    def fingerprint(self) -> dict[str, Any]:
        """All values that determine the vocabulary of a given training text."""
        if self.given is not None:
            return {"given": [checksum_of_words(self.given), self.given.tokeniser.source()]}
        counted = {"vocab_size": self.vocab_size, "min_count": self.min_count}
        return {"tokeniser": self.tokeniser.source(), **counted}


def differing(wanted: Tokeniser, own: Tokeniser) -> str:
    """What to set, so that `own` splits text as `wanted` does; empty if it does."""
    now = own.kind
    return " ".join(f"{key}={value}" for key, value in wanted.kind.items() if value != now[key])
