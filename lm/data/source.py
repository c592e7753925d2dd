"""The interface of every source of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

SPLITS = ("train", "valid", "test")


class Source(ABC):
    """The texts of the three splits, read in pieces, and a fingerprint that identifies them."""

    @abstractmethod
    def fingerprint(self) -> dict[str, object]:
        """Everything that the texts depend on: equal fingerprints mean equal texts."""

    @abstractmethod
    def pieces(self, split: str) -> Iterator[str]:
        """The text of one split, cut at line ends."""

    knows_nats: ClassVar[bool] = False

    def nats(self, words: Sequence[str]) -> np.ndarray | None:
        """-log p [N - 1] of each of `words` [N] but the first under the generating process; None: unknown.

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
