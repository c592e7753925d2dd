"""Text from the user's own files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from glob import glob
from itertools import accumulate
from pathlib import Path
from typing import Literal

from lm.data.corpus import Corpus
from lm.data.documents import MARK
from lm.data.source import SPLITS, Source, end_last_line
from lm.data.streams import EVAL_WINDOW
from lm.data.text_file import TextFile
from lm.data.tokenisers import Tokeniser
from lm.data.vocabulary import WHITESPACE, Vocab, read_vocab
from lm.data.vocabulary_choice import VocabSize, VocabularyChoice
from lm.system.bounds import Count
from lm.system.errors import UserError
from lm.system.file_hash import content_hash

Files = str | Path | Sequence[str]
"""The type of a setting that names text files: a file, a folder (its .txt, .jsonl and .gz files), a glob, or a list."""

ENDINGS = (".txt", ".jsonl", ".gz")
MOST_HELD_OUT = 1_000_000
"""Bytes of the valid and test parts of a text that is split by the default fractions: at most a million tokens."""


class TextFiles(Source):
    """UTF-8 text in files: three texts, used as they are, or one, split at line ends into contiguous parts.

    A text of several files is read in the order of their names (a folder, a glob), or in the given order (a list). A
    file may be compressed (.gz), or JSON Lines with a document in each line (`field`).

    Args:
        train: the files of the training text, or of the single text.
        valid: the files of the validation text; None: a part of the single text.
        test: the files of the test text; None: a part of the single text.
        fractions: the parts of a single text for train, valid and test; None: 80%, 10% and 10%, where valid and test
            have at most a million bytes each.
        field: the field of each JSON object that holds its document's text; None: plain text.
        documents: each file, or line of JSON Lines, is a document: it is read and scored from its own beginning.

    Raises:
        UserError: when a file is read that is missing, empty, binary, not UTF-8 or cut short.
    """

    def __init__(
        self,
        train: Files,
        valid: Files | None = None,
        test: Files | None = None,
        fractions: Sequence[float] | None = None,
        field: str | None = None,
        documents: bool = False,
    ) -> None:
        if (valid is None) != (test is None):
            given, missing = ("data.test", "data.valid") if valid is None else ("data.valid", "data.test")
            raise UserError(
                f"{given} is given but {missing} is not: give all three, or only data.train, which is then split"
            )
        if fractions is not None and (len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6):
            raise UserError(f"data.fractions must be three positive numbers that add up to 1; got {list(fractions)}")
        self.fractions = None if fractions is None else tuple(fractions)
        self.field, self.documents = field, documents
        self.single = valid is None or test is None
        named = [train] * 3 if valid is None or test is None else [train, valid, test]
        self._named = {split: _list(files) for split, files in zip(SPLITS, named, strict=True)}

    @property
    def files(self) -> Mapping[str, Sequence[Path]]:
        return {split: [path for named in paths for path in _found(named)] for split, paths in self._named.items()}

    def move_to(self, folder: Path) -> None:
        self._named = {split: [folder / path.name for path in paths] for split, paths in self._named.items()}

    def checked(self, split: str) -> list[TextFile]:
        """The files of a split. Raises UserError if one is missing or empty."""
        setting = "data.train" if self.single else f"data.{split}"
        paths = self.files[split]
        objects = [path for path in paths if ".jsonl" in path.suffixes] or paths  # of a mixture only these have fields
        found = [TextFile(path, setting, self.field if path in objects else None) for path in paths]
        for file in found:
            file.check()
        return found

    def fingerprint(self) -> dict[str, object]:
        files = {
            split: [self._hash(file) for file in self.checked(split)] for split in SPLITS[: 1 if self.single else 3]
        }
        settings = {"field": self.field, "documents": self.documents}
        return {"files": files, **settings, "fractions": self.fractions if self.single else None}

    def size(self, split: str) -> int | None:
        files = self.checked(split)
        if any(file.compressed for file in files):
            return None
        sizes = [file.size() for file in files]
        after, until = self._span(split, sizes) if self.single else (-1, None)
        return (sum(sizes) - 1 if until is None else until) - after

    def pieces(self, split: str) -> Iterator[str]:
        return self._pieces(split, "")

    def marked(self, split: str) -> Iterator[str]:
        return self._pieces(split, MARK if self.documents else "")

    def _pieces(self, split: str, mark: str) -> Iterator[str]:
        """The pieces of a split, with `mark` before each document."""
        files = self.checked(split)
        if not self.single:
            for file in files:
                yield from end_last_line(file.pieces(mark=mark))
            return
        after, until = self._span(split, sizes := [file.size() for file in files])
        empty = True
        for file, begin, size in zip(files, accumulate(sizes, initial=0), sizes, strict=False):
            within = max(-1, after - begin), None if until is None else until - begin
            if self.documents and file.field is None:  # a document is not cut: its middle decides where it belongs
                if begin + size // 2 <= after or (until is not None and begin + size // 2 > until):
                    continue
                within = -1, None
            for piece in end_last_line(file.pieces(*within, mark)):
                empty = False
                yield piece
        if empty:
            what = "documents" if self.documents else "lines"
            raise UserError(
                f"{', '.join(map(str, self.files['train']))}: too few {what} to be split into train, valid and test; "
                f"break it into {what}, or give data.train, data.valid and data.test"
            )

    def _span(self, split: str, sizes: Sequence[int]) -> tuple[int, int | None]:
        """A split has the lines of a single text that begin at a byte in (first, second]; None: to the end."""
        total = sum(sizes)
        if self.fractions is None:
            cuts = [max(int(total * 0.8), total - 2 * MOST_HELD_OUT), max(int(total * 0.9), total - MOST_HELD_OUT)]
        else:
            cuts = [int(total * self.fractions[0]), int(total * (self.fractions[0] + self.fractions[1]))]
        spans = dict(zip(SPLITS, zip([-1, *cuts], [*cuts, None], strict=True), strict=True))
        return spans[split]

    @staticmethod
    def _hash(file: TextFile) -> str:
        with file.opened():  # a file that cannot be read is reported here
            return content_hash(file.path)


def _list(files: Files) -> list[Path]:
    several = [files] if isinstance(files, (str, Path)) else files
    if not several:
        raise UserError("data.train, data.valid or data.test is an empty list: name a file in it")
    return [Path(str(file)).expanduser().resolve() for file in several]


def _found(named: Path) -> list[Path]:
    """The files that a name means: those of a folder or of a glob, sorted by name, or the file itself."""
    if named.is_dir():
        return sorted(file for file in named.iterdir() if file.suffix in ENDINGS and file.is_file()) or [named]
    matches = [] if named.exists() else sorted(map(Path, glob(str(named), recursive=True)))
    return [path for path in matches if path.is_file()] or [named]


def text(
    train: str | Sequence[str],
    batch_size: Count,
    window: Count,
    valid: str | Sequence[str] | None = None,
    test: str | Sequence[str] | None = None,
    fractions: Sequence[float] | None = None,
    field: str | None = None,
    documents: bool = False,
    tokeniser: Tokeniser = WHITESPACE,
    lowercase: bool = False,
    normalise: Literal["NFC", "NFKC"] | None = None,
    vocab_size: VocabSize | None = None,
    min_count: Count = 1,
    vocab_file: str | None = None,
    vocab_from: str | None = None,
    eval_window: Count = EVAL_WINDOW,
    vocab: Vocab | None = None,
) -> Corpus:
    """A corpus from any UTF-8 text; see `TextFiles`, `Tokeniser`, `VocabularyChoice` and `Corpus` for the settings.

    The vocabulary may be given: by `vocab_file`, a word in each line, or by `vocab_from`, another run, whose vocabulary
    the program passes as `vocab`.
    """
    if vocab_file is not None and vocab_from is not None:
        raise UserError("data.vocab_file and data.vocab_from are both given; choose one")
    if vocab_from is not None and vocab is None:
        raise UserError("data.vocab_from: the vocabulary of that run is missing; train.py reads it from its checkpoint")
    tokeniser = replace(
        tokeniser, lowercase=lowercase or tokeniser.lowercase, normalise=normalise or tokeniser.normalise
    )
    if vocab_file is not None and vocab is None:
        vocab = read_vocab(Path(vocab_file).expanduser(), tokeniser)
    files = TextFiles(train, valid, test, fractions, field, documents)
    return Corpus(files, batch_size, window, eval_window, VocabularyChoice(tokeniser, vocab_size, min_count, vocab))
