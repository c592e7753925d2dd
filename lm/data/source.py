"""The interface of every source of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from lm.system.errors import UserError

SPLITS = ("train", "valid", "test")


class Source(ABC):
    """A source of text: it gives the texts of three splits in pieces, and a fingerprint that identifies these texts."""

    @abstractmethod
    def fingerprint(self) -> dict[str, object]:
        """All values that determine the texts: if two fingerprints are equal, the texts are equal."""

    @abstractmethod
    def pieces(self, split: str) -> Iterator[str]:
        """Yields the text of one split in pieces that end at line ends, or between any tokens if there are no lines."""

    documents: bool = False
    """Whether the text consists of documents, each of which is read from the first state."""

    def marked(self, split: str) -> Iterator[str]:
        """The pieces of a split; if the source has `documents`, with `lm.data.documents.MARK` before each."""
        return self.pieces(split)

    @property
    def files(self) -> Mapping[str, Sequence[Path]]:
        """The files of each split, whether they exist or not; empty if the text is not the user's files."""
        return {}

    def size(self, split: str) -> int | None:
        """The number of bytes of a split's text, for a progress bar; None if it is not known before reading."""
        return None

    def move_to(self, folder: Path) -> None:
        """Read files of the same names in another folder. Raises UserError if the text is not the user's files."""
        raise UserError(
            f"data_from={folder}: this run's text is not in files that can lie in another folder; leave it out"
        )

    knows_nats: ClassVar[bool] = False

    def nats(self, words: Sequence[str]) -> np.ndarray | None:
        """-log p [N - 1] of all `words` [N] but the first, under the process that generated them; None if unknown.

        Called only if `knows_nats`.
        """
        return None


def end_last_line(pieces: Iterator[str]) -> Iterator[str]:
    """Add a missing newline at the end of a text, so that its last line gets an `<eos>` like every other line.

    A source whose text ends within a line ends with an empty piece: then nothing is added.
    """
    piece = ""
    for piece in pieces:
        if piece:
            yield piece
    if piece and not piece.endswith("\n"):
        yield "\n"
