"""What every source of text offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

SPLITS = ("train", "valid", "test")


class Source(ABC):
    """Three texts, readable in pieces, and what makes them different from any other three."""

    @abstractmethod
    def fingerprint(self) -> dict[str, object]:
        """What the texts depend on: equal fingerprints mean equal texts."""

    @abstractmethod
    def pieces(self, split: str) -> Iterator[str]:
        """The text of one split, cut at line ends."""

    knows_nats: ClassVar[bool] = False

    def nats(self, words: Sequence[str]) -> np.ndarray | None:
        """-log p [N - 1] of each of `words` [N] but the first under the process that wrote the text; None: unknown.

        Asked for where `knows_nats`.
        """
        return None


def end_last_line(pieces: Iterator[str]) -> Iterator[str]:
    """Give a text's last line its end where the file lacks it, so that it gets an `<eos>` like every other."""
    piece = ""
    for piece in pieces:
        if piece:
            yield piece
    if piece and not piece.endswith("\n"):
        yield "\n"
