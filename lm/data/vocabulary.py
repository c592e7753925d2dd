"""The vocabulary: words and their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lm.data.plain_text import decoded, with_last_line_end
from lm.data.tokenisers import EOS, UNK, Tokeniser, Whitespace
from lm.system.errors import UserError

WHITESPACE = Whitespace()


class _Index(dict[str, int]):
    """A dictionary from words to ids, with the id of `<unk>` for every out-of-vocabulary word.

    `map(index.__getitem__, words)` runs in C.
    """

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__((word, i) for i, word in enumerate(words))
        self.unknown = self[UNK]

    def __missing__(self, word: str) -> int:
        return self.unknown


class Vocab:
    """An immutable list of words that includes `<eos>` and `<unk>`; a word's index is its id.

    `tokeniser` splits and joins text. `writes_unk` says whether the training text itself contains the word `<unk>`, as
    the Penn Treebank does; it is then a word like any other.
    Raises UserError for a list with repeated words or without the two special words.
    """

    def __init__(self, words: Sequence[str], tokeniser: Tokeniser = WHITESPACE, writes_unk: bool = False) -> None:
        self.words = tuple(words)
        self.tokeniser = tokeniser
        self.writes_unk = writes_unk
        missing = {EOS, UNK} - set(self.words)
        if missing or len(set(self.words)) != len(self.words):
            raise UserError(f"a vocabulary must contain each word once, and {EOS} and {UNK}; this one does not")
        self._index = _Index(self.words)

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[str, int],
        tokeniser: Tokeniser = WHITESPACE,
        max_size: int | None = None,
        min_count: int = 1,
    ) -> Vocab:
        """Make the vocabulary of a training text. `counts` has its words in the order in which they first appear.

        Ids follow this order. `max_size` includes `<eos>` and `<unk>`. Tokens that are too rare become `<unk>`.
        The place of `<unk>` in the order is where the first such token, or a literal `<unk>`, appears. If `<eos>` or
        `<unk>` does not occur, it comes last.
        """
        special = {EOS, UNK}
        if len(special | counts.keys()) < 4:
            raise UserError(
                f"the training text has {len(counts.keys() - special)} different word(s); a language model needs two. "
                "Is it the right file, with white space between words? (For text without it: data/tokeniser=characters)"
            )
        kept = {word for word, count in counts.items() if count >= min_count} | special
        if len(kept) < 4:
            raise UserError(
                f"fewer than two words of the training text occur {min_count} times or more: lower data.min_count"
            )
        if max_size is not None and len(kept) > max_size:
            # The sort is stable: of equally frequent words the one that appears first is kept.
            common = kept - special
            ranked = sorted((word for word in counts if word in common), key=lambda word: -counts[word])
            kept = set(ranked[: max_size - len(special)]) | special
        numbered = dict.fromkeys(word if word in kept else UNK for word in counts)
        return cls([*numbered, *(word for word in (EOS, UNK) if word not in numbered)], tokeniser, UNK in counts)

    @classmethod
    def from_words(cls, words: Iterable[str], tokeniser: Tokeniser = WHITESPACE) -> Vocab:
        """The vocabulary of given words; `<eos>` and `<unk>` are added at the end if they are missing."""
        return cls(list(dict.fromkeys([*words, EOS, UNK])), tokeniser)

    def as_dict(self) -> dict[str, Any]:
        """The vocabulary as plain containers, for `from_dict`; `tokeniser` is a node that builds the tokeniser."""
        return {"words": list(self.words), "tokeniser": self.tokeniser.as_node(), "writes_unk": self.writes_unk}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], tokeniser: Tokeniser) -> Vocab:
        """The vocabulary that `as_dict` returned. Raises KeyError or UserError for anything else."""
        return cls(saved["words"], tokeniser, saved.get("writes_unk", False))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocab) and (self.words, self.tokeniser) == (other.words, other.tokeniser)

    __hash__ = None  # type: ignore[assignment]

    @property
    def eos(self) -> int:
        return self._index[EOS]

    @property
    def unk(self) -> int:
        return self._index.unknown

    @property
    def dtype(self) -> np.dtype:
        """The smallest unsigned integer type that holds every id."""
        return np.min_scalar_type(len(self) - 1)

    @property
    def index(self) -> Mapping[str, int]:
        """The id of each word, and for every out-of-vocabulary word the id of `<unk>`."""
        return self._index

    def id(self, word: str) -> int:
        """The id of a word; for an out-of-vocabulary word, the id of `<unk>`."""
        return self._index[word]

    def split(self, text: str) -> list[str]:
        """Split text into tokens, in or out of the vocabulary; a newline becomes `<eos>`."""
        return self.tokeniser.split(text)

    def encode(self, text: str) -> np.ndarray:
        """Convert text to ids [N]. A newline becomes `<eos>`, and an out-of-vocabulary word becomes `<unk>`."""
        tokens = self.split(text)
        return np.fromiter(map(self._index.__getitem__, tokens), dtype=self.dtype, count=len(tokens))

    def sentence(self, text: str) -> np.ndarray:
        """The ids [N + 1] of a text with `<eos>` in front, so that the first word of the text is scored too."""
        return np.concatenate([[self.eos], self.encode(text)]).astype(self.dtype)

    def decode(self, ids: Iterable[int]) -> str:
        """Convert ids to text; `<eos>` becomes a line break."""
        return "\n".join(map(self.tokeniser.join, self._lines(ids)))

    def _lines(self, ids: Iterable[int]) -> Iterator[list[str]]:
        line: list[str] = []
        for i in ids:
            if i == self.eos:
                yield line
                line = []
            else:
                line.append(self.words[i])
        yield line


def read_vocab(file: Path, tokeniser: Tokeniser) -> Vocab:
    """Read a vocabulary from a file with a word in each line; `<eos>` and `<unk>` are added if they are missing.

    Raises UserError if the file cannot be read, repeats a word, or has a line that is not one word.
    """
    if tokeniser.brings_words:
        raise UserError(f"data/tokeniser={tokeniser.option} brings its vocabulary, so leave out data.vocab_file")
    try:
        text = decoded(file.read_bytes(), str(file))
    except OSError as error:
        raise UserError(f"data.vocab_file: cannot read {file}: {error.strerror}; name a file, a word a line") from None
    unit, lines = tokeniser.unit, dict[str, int]()
    for number, word in enumerate(with_last_line_end(text).split("\n")[:-1], 1):
        if tokeniser.split(word) != [word] and word not in (EOS, UNK):
            raise UserError(f"data.vocab_file: {file}, line {number} is not one {unit}: {word[:60]!r}")
        if word in lines:
            raise UserError(f"data.vocab_file: {file}, line {number} repeats {word!r} of line {lines[word]}; delete it")
        lines[word] = number
    if len(lines.keys() - {EOS, UNK}) < 2:
        raise UserError(f"data.vocab_file: {file} has fewer than two {unit}s; a language model needs two")
    return Vocab.from_words(lines, tokeniser)
