"""The interface of every source of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

SPLITS = ("train", "valid", "test")


class Source(ABC):
    """A source of text: it gives the texts of three splits in pieces, and a fingerprint that identifies these texts."""

    @abstractmethod
    def fingerprint(self) -> dict[str, object]:
        """All values that determine the texts: if two fingerprints are equal, the texts are equal."""

    @abstractmethod
    def pieces(self, split: str) -> Iterator[str]:
        """Yields the text of one split in pieces that end at line ends."""

    knows_nats: ClassVar[bool] = False

    def nats(self, words: Sequence[str]) -> np.ndarray | None:
        """-log p [N - 1] of all `words` [N] but the first, under the process that generated them; None if unknown.

        Called only if `knows_nats`.
        """
        return None


def end_last_line(pieces: Iterator[str]) -> Iterator[str]:
    """Add a missing newline at the end of a text, so that its last line gets an `<eos>` like every other line."""
    piece = ""
    for piece in pieces:
        if piece:
            yield piece
    if piece and not piece.endswith("\n"):
        yield "\n"
