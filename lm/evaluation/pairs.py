"""Pairs of sentences, of which the better one should be more probable (Warstadt et al. 2020: BLiMP)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lm.evaluation.sentences import Sentence
from lm.system.errors import UserError

HEADER = "pair\tuid\tgood\tbad\tdifference\tgood_unknown\tbad_unknown\tresult"
Z = 1.959964
"""Standard deviations from the mean to the ends of a normal distribution's central 95%."""
ROUNDING = 1e-4
"""Nats by which two sentences of the same tokens may differ, because they were read beside others: a tie."""


@dataclass(frozen=True)
class Pair:
    """Two sentences: the line of the file, the kind of pair (empty if the file names none), good and bad."""

    number: int
    uid: str
    good: str
    bad: str


@dataclass(frozen=True)
class Judged:
    """A pair with the nats of its sentences, and how many words of each are unknown."""

    pair: Pair
    good: float
    bad: float
    good_unknown: int
    bad_unknown: int

    @property
    def result(self) -> str:
        """`right` if the good sentence is the more probable one, `wrong` if the bad one is, else `tie`."""
        if abs(self.good - self.bad) < ROUNDING:
            return "tie"
        return "right" if self.good < self.bad else "wrong"

    def row(self, per_nat: float) -> str:
        """The row below `HEADER`: surprisals of both sentences, bad minus good, in the unit of `per_nat`."""
        values = [self.good * per_nat, self.bad * per_nat, (self.bad - self.good) * per_nat]
        figures = "\t".join(f"{value:.6f}" for value in values)
        return f"{self.pair.number}\t{self.pair.uid}\t{figures}\t{self.good_unknown}\t{self.bad_unknown}\t{self.result}"


def read_pairs(lines: Iterable[tuple[int, str]], name: str) -> Iterator[Pair]:
    """The pairs in the numbered lines of a file: JSON objects with `sentence_good` and `sentence_bad`, or two columns.

    Raises UserError, which begins with `name`, for any other line. Blank lines are skipped.
    """
    for number, line in lines:
        if line.strip():
            yield _of_json(number, line, name) if line.lstrip().startswith("{") else _of_columns(number, line, name)


def _of_json(number: int, line: str, name: str) -> Pair:
    try:
        row = json.loads(line)
        good, bad = row["sentence_good"], row["sentence_bad"]
        uid = row.get("UID") or row.get("field") or ""
        if not all(isinstance(text, str) and text.strip() and "\n" not in text for text in (good, bad)):
            raise ValueError
        return Pair(number, " ".join(str(uid).split()), good, bad)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{name}, line {number}: not a JSON object with the texts sentence_good and sentence_bad: "
            f"{line[:60].strip()}"
        ) from None


def _of_columns(number: int, line: str, name: str) -> Pair:
    columns = line.split("\t")
    if len(columns) != 2 or not all(column.strip() for column in columns):
        raise UserError(
            f"{name}, line {number} has {len(columns)} columns; a pair is two sentences with a tab between, the good "
            f"one first: {line[:60].strip()}"
        )
    return Pair(number, "", *columns)


def judged(pair: Pair, good: Sentence, bad: Sentence) -> Judged:
    """A pair with the figures of its scored sentences."""
    unknown = (len(one.known) - sum(one.known) for one in (good, bad))
    return Judged(pair, sum(good.nats), sum(bad.nats), *unknown)


@dataclass
class Accuracy:
    """How many pairs were judged right."""

    pairs: int = 0
    right: int = 0
    ties: int = 0
    with_unknown: int = 0
    by_uid: dict[str, Accuracy] = field(default_factory=dict)

    def add(self, one: Judged) -> None:
        self._count(one)
        if one.pair.uid:
            self.by_uid.setdefault(one.pair.uid, Accuracy())._count(one)

    def _count(self, one: Judged) -> None:
        self.pairs += 1
        self.right += one.result == "right"
        self.ties += one.result == "tie"
        self.with_unknown += bool(one.good_unknown or one.bad_unknown)

    @property
    def accuracy(self) -> float:
        return self.right / self.pairs if self.pairs else math.nan

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"pairs": self.pairs, "right": self.right, "accuracy": self.accuracy}
        found |= {"interval": wilson(self.right, self.pairs), "ties": self.ties, "with_unknown": self.with_unknown}
        return found | ({"by_uid": {uid: one.as_dict() for uid, one in self.by_uid.items()}} if self.by_uid else {})


def wilson(right: int, pairs: int) -> list[float]:
    """The 95% interval of a share (Wilson 1927), which holds for few pairs and for shares near 0 and 1 too."""
    if not pairs:
        return [0.0, 1.0]
    share, extra = right / pairs, Z * Z / pairs
    middle, half = share + extra / 2, Z * math.sqrt(share * (1 - share) / pairs + extra / (4 * pairs))
    return [max(0.0, (middle - half) / (1 + extra)), min(1.0, (middle + half) / (1 + extra))]
