"""An encoded text on disk: its vocabulary, and the ids of each split, which are memory-mapped and never read whole.

A folder has `train.ids`, `valid.ids` and `test.ids` (ids in the vocabulary's integer type), for a text of documents
`train.starts` and so on (where they begin, int64), `train.counts` (how often each word occurs, int64), and
`about.json`, which is written last.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lm.data.documents import Ids, starts_of
from lm.data.numbering import Part
from lm.data.repeated_lines import Repeated
from lm.data.source import SPLITS
from lm.data.text_size import TextSize
from lm.data.tokenisers import Tokeniser
from lm.data.vocabulary import Vocab
from lm.system.errors import UserError
from lm.system.file_hash import signs

ABOUT = "about.json"
COUNTS = "train.counts"
PIECE = 1 << 22  # ids that are read at a time


@dataclass(frozen=True)
class Split:
    """Facts about an encoded split: its length in tokens, the CRC-32 of its ids, how many are `<unk>`, its text."""

    tokens: int
    checksum: str
    unknown: int
    size: TextSize


@dataclass(frozen=True)
class Encoded:
    """A vocabulary, the ids [N] of each split, and facts about the splits."""

    vocab: Vocab
    ids: dict[str, np.ndarray]
    splits: dict[str, Split]
    repeated: dict[str, Repeated]  # of the validation and test texts: lines that the training text has too
    folder: Path

    @property
    def checksums(self) -> dict[str, str]:
        """CRC-32 of the words and of each split's ids; equal checksums mean equal text and vocabulary."""
        words = checksum_of_words(self.vocab)
        return {"vocabulary": words, **{name: split.checksum for name, split in self.splits.items()}}

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each word of the vocabulary occurs in the training text, int64 [V]."""
        return np.fromfile(self.folder / COUNTS, np.int64)


def checksum(array: np.ndarray) -> str:
    """CRC-32 of an array's bytes and of the places where its documents begin, in hexadecimal digits."""
    return f"{zlib.crc32(starts_of(array).data, zlib.crc32(np.ascontiguousarray(array).data)):08x}"


def checksum_of_words(vocab: Vocab) -> str:
    return checksum(np.frombuffer("\n".join(vocab.words).encode(), np.uint8))


class SplitWriter:
    """Writes the ids of a split to a file as they come, counts them, and collects where documents begin."""

    def __init__(self, file: BinaryIO, vocab: Vocab) -> None:
        self.file, self.unk = file, vocab.unk
        self.counts = np.zeros(len(vocab), np.int64)
        self.crc = self.tokens = 0
        self.size = TextSize()
        self.starts: list[int] = []

    def write(self, part: Part) -> None:
        self.starts += part.places(self.tokens)
        self.tokens += len(part.ids)
        self.file.write(part.ids.data)
        self.crc = zlib.crc32(part.ids.data, self.crc)
        self.counts += np.bincount(part.ids, minlength=len(self.counts))
        self.size += part.size

    @property
    def facts(self) -> Split:
        crc = zlib.crc32(np.array(self.starts, np.int64).data, self.crc)
        return Split(self.tokens, f"{crc:08x}", int(self.counts[self.unk]), self.size)


def ids_file(folder: Path, split: str) -> Path:
    return folder / f"{split}.ids"


def starts_file(folder: Path, split: str) -> Path:
    return folder / f"{split}.starts"


def write_about(
    folder: Path, vocab: Vocab, splits: dict[str, Split], repeated: dict[str, Repeated], documents: bool
) -> None:
    """Complete a folder whose other files are written."""
    kinds = (ids_file, starts_file) if documents else (ids_file,)
    files = [folder / COUNTS, *(place(folder, split) for split in splits for place in kinds)]
    about = {"vocab": vocab.as_dict(), "documents": documents, "files": {file.name: signs(file) for file in files}}
    about |= {"splits": {name: asdict(split) for name, split in splits.items()}}
    about |= {"repeated": {name: vars(lines) for name, lines in repeated.items()}}
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")


def read(folder: Path, tokeniser: Tokeniser) -> Encoded | None:
    """The encoded text in a folder, which a tokeniser of this class has split; None if it is missing or damaged.

    Always checked: the files' sizes. The ids are read and their checksum compared only if a file's times of change or
    inode are not those of when it was written, so that a start takes no longer with a large text.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        vocab = Vocab.from_dict(about["vocab"], tokeniser.again(about["vocab"]["tokeniser"]))
        splits = {name: _split(about["splits"][name]) for name in SPLITS}
        ids = {name: _mapped(ids_file(folder, name), vocab.dtype) for name in SPLITS}
        if about["documents"]:
            ids = {name: Ids(ids[name], np.fromfile(starts_file(folder, name), np.int64)) for name in SPLITS}
        repeated = {name: Repeated(**lines) for name, lines in about["repeated"].items()}
        encoded = Encoded(vocab, ids, splits, repeated, folder)
        sound = all(len(ids[name]) == split.tokens for name, split in splits.items())
        if sound and (all(_unchanged(folder, about["files"])) or _read_again(encoded)):
            return encoded
    except (OSError, ValueError, KeyError, TypeError, UserError):
        pass  # missing or damaged: the caller encodes again
    return None


def _split(facts: dict[str, Any]) -> Split:
    return Split(**{**facts, "size": TextSize(**facts["size"])})


def _mapped(file: Path, dtype: np.dtype) -> np.ndarray:
    return np.memmap(file, dtype, "r") if file.stat().st_size else np.zeros(0, dtype)


def _unchanged(folder: Path, files: dict[str, Any]) -> Iterator[bool]:
    return (signs(folder / name) == then for name, then in files.items())


def _read_again(encoded: Encoded) -> bool:
    same = all(checksum(encoded.ids[name]) == split.checksum for name, split in encoded.splits.items())
    counts = encoded.counts
    return same and len(counts) == len(encoded.vocab) and int(counts.sum()) == encoded.splits["train"].tokens
