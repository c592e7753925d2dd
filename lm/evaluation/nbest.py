"""Lists of hypotheses, as a speech recogniser gives them, scored anew: which line of each list is the best?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lm.system.errors import UserError
from lm.system.extras import needed

WEIGHTS = [0.0, *(2.0 ** (k / 2) for k in range(-10, 13))]
PENALTIES = [0.25 * k for k in range(-24, 25)]
"""The values that `weight=auto` tries, of the model's weight and of the penalty per word."""


@dataclass(frozen=True)
class Hypothesis:
    """A line of an n-best list, as it stands, and its parts: the list's id, the recogniser's score, the text."""

    line: str
    id: str
    score: float
    text: str

    @property
    def words(self) -> int:
        return len(self.text.split())


@dataclass(frozen=True)
class Rescored:
    """A hypothesis with the model's natural log-probability of its text, the sentence's end included."""

    hypothesis: Hypothesis
    lm_score: float

    @property
    def line(self) -> str:
        """The hypothesis's line with the model's score as one more column."""
        return f"{self.hypothesis.line}\t{self.lm_score:.6f}"

    def total(self, weight: float, penalty: float) -> float:
        return self.hypothesis.score + weight * self.lm_score + penalty * self.hypothesis.words


def read_nbest(lines: Iterable[tuple[int, str]], name: str) -> Iterator[Hypothesis]:
    """The hypotheses in numbered lines `id score text`: tabs between, or white space after the first two fields.

    Blank lines are skipped. Raises UserError, which begins with `name`, for a line without a score, or an id that
    returns after another one: a list's lines stand together.
    """
    over: set[str] = set()
    latest = None
    for number, line in lines:
        if not line.strip():
            continue
        fields = line.split("\t", 2) if line.count("\t") >= 2 else line.split(None, 2)
        try:
            key, score, text = fields[0].strip(), float(fields[1]), fields[2].strip() if len(fields) > 2 else ""
            if not math.isfinite(score):
                raise ValueError
        except (IndexError, ValueError):
            raise UserError(
                f"{name}, line {number} has no score: write id, score and text, with tabs or spaces between: "
                f"{line[:60].strip()}"
            ) from None
        if key != latest:
            if key in over:
                raise UserError(f"{name}, line {number}: the id {key} returns after another one; sort the file by id")
            over.add(key)
            latest = key
        yield Hypothesis(line, key, score, text)


def read_references(lines: Iterable[tuple[int, str]], name: str) -> dict[str, str]:
    """The true texts in numbered lines `id text`. Raises UserError for an id that is there twice."""
    found: dict[str, str] = {}
    for number, line in lines:
        if line.strip():
            key, _, text = line.strip().replace("\t", " ", 1).partition(" ")
            if key in found:
                raise UserError(f"{name}, line {number}: the id {key} is there twice; delete one of its lines")
            found[key] = text
    return found


def chosen(lists: Iterable[Sequence[Rescored]], weight: float, penalty: float) -> Iterator[Rescored]:
    """The line of each list with the highest `score + weight * lm_score + penalty * words`; the first of equal ones."""
    return (max(one, key=lambda line: line.total(weight, penalty)) for one in lists)


class Errors:
    """Word errors of every line of some lists, against the true texts.

    Raises UserError if the package jiwer is missing, or a list has no true text.
    """

    def __init__(self, lists: Sequence[Sequence[Rescored]], references: dict[str, str]) -> None:
        jiwer = needed("jiwer", "reference")
        if lacking := [one[0].hypothesis.id for one in lists if one[0].hypothesis.id not in references]:
            raise UserError(f"reference has no text for the id {lacking[0]}, and {len(lacking):,} such ids in all")
        self.lists = lists
        self.words = sum(len(references[one[0].hypothesis.id].split()) for one in lists)
        if self.words == 0:
            raise UserError("reference has no words for these ids; write id and text in each line")
        lines = {line.hypothesis for one in lists for line in one}
        self._of = {line: _errors(jiwer, references[line.id], line.text) for line in lines}

    def rate(self, lines: Iterable[Rescored]) -> float:
        """The word error rate of a line of each list: substitutions, deletions and insertions / true words."""
        return sum(self._of[line.hypothesis] for line in lines) / self.words

    @property
    def first(self) -> float:
        """The word error rate of the recogniser's own choice: the first line of each list."""
        return self.rate(one[0] for one in self.lists)

    @property
    def best_possible(self) -> float:
        """The lowest word error rate that any choice of lines has."""
        return self.rate(min(one, key=lambda line: self._of[line.hypothesis]) for one in self.lists)

    def best_weights(self) -> tuple[float, float]:
        """The weight and the penalty among `WEIGHTS` and `PENALTIES` with the lowest word error rate.

        Of equal ones the smallest: first the weight, then the penalty's size.
        """
        pairs = [(weight, penalty) for weight in WEIGHTS for penalty in sorted(PENALTIES, key=abs)]
        return min(pairs, key=lambda pair: self.rate(chosen(self.lists, *pair)))


def _errors(jiwer: object, reference: str, text: str) -> int:
    if not reference.split() or not text.split():
        return max(len(reference.split()), len(text.split()))
    found = jiwer.process_words(reference, text)  # type: ignore[attr-defined]
    return int(found.substitutions + found.deletions + found.insertions)
