"""Lines of the validation and test texts that the training text has too: the commonest leak between splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lm.data.documents import MARK
from lm.data.source import SPLITS

WORDS, CHARACTERS = 5, 20
"""A line counts that has so many words, or characters where no spaces are written. Shorter ones come again anyway."""
LONG = f"{WORDS} words or {CHARACTERS} characters"
MANY = 0.05
"""The share of repeated lines above which a run warns."""


@dataclass(frozen=True)
class Repeated:
    """Of a split: how many long lines it has, and how many of these the training text has too."""

    long: int
    repeated: int

    @property
    def share(self) -> float:
        return self.repeated / self.long if self.long else 0.0


def long_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines that count."""
    return (line for line in lines if len(line) >= CHARACTERS or len(line.split(None, WORDS)) >= WORDS)


class HeldOutLines:
    """The long lines of the validation and test texts, by hash, and which of them have come in the training text.

    Memory is bounded by these two texts.
    """

    def __init__(self) -> None:
        self._lines: dict[str, Counter[int]] = {split: Counter() for split in SPLITS[1:]}
        self._met: set[int] = set()

    def add(self, split: str, text: str) -> None:
        self._lines[split].update(map(hash, long_lines(text.split("\n"))))

    def met(self, text: str) -> str:
        """Read a piece of the training text, which ends at a line end; returns the piece."""
        hashes = set(map(hash, text.replace(MARK, "").split("\n")))
        for lines in self._lines.values():
            self._met |= hashes & lines.keys()
        return text

    def repeated(self) -> dict[str, Repeated]:
        return {
            split: Repeated(lines.total(), sum(count for line, count in lines.items() if line in self._met))
            for split, lines in self._lines.items()
        }


def warning(found: Mapping[str, Repeated]) -> str | None:
    """A warning if many lines of a held-out text are lines of the training text too; None if not."""
    many = [f"{one.share:.0%} of the {split} text's" for split, one in found.items() if one.share > MANY]
    if not many:
        return None
    return (
        f"warning: {' and '.join(many)} lines of {LONG} or more are lines of the training text too: a perplexity "
        "over them says little about new text. python scripts/describe.py data=... shows them"
    )
