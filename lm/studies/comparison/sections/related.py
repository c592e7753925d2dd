"""The section on related and unrelated words."""

from __future__ import annotations

from collections.abc import Sequence

from lm.studies.comparison import drawing_words, sentences_words
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.related import FEWEST, Relatedness, Words, unrelated_words
from lm.studies.comparison.sections.shared import firsts
from lm.studies.comparison.sentences import number, with_interval
from lm.studies.page import Block, Heading, Statements, Table, Text

TOLD = 6


def related(report: Figures) -> list[Block | None]:
    first = [(run.label, run.relatedness) for run in firsts(report.runs) if run.relatedness]
    foreign = report.settings.pairs is None and all(not found.counts for _, found in first)  # a text of other words
    if not first or foreign:
        return []
    heading = Heading("Are related words closer together than unrelated ones?")
    few = [f"{label}: {_too_few(found)}" for label, found in first if not found.related]
    if not report.related:
        return [heading, Statements(few)]
    rows = [
        [
            row.group,
            row.kind,
            str(row.pairs),
            number(row.related, 3),
            number(row.unrelated, 3),
            *(with_interval(part) for part in (row.trained, row.initial, row.change)),
        ]
        for row in report.related
    ]
    cosine = [row for row in report.related if row.kind == "cosine"]
    confidence = f"{100 * report.settings.confidence:g}%"
    return [
        heading,
        Text(
            "Chance is what the unrelated pairs have, and what the embedding had before training. The unrelated pairs "
            "consist of the same words as the related ones, so both are of equally frequent words. Judged is the "
            "change by training, if the embedding before was kept: where the words of a few pairs begin is chance too."
        ),
        Statements([*few, *(sentences_words.relatedness(row) for row in cosine[:TOLD])]),
        drawing_words.related(report),
        Table(
            ["", "distance", "pairs", "related", "unrelated", "difference", "before training", "change by training"],
            rows,
            "Means over pairs, and over seeds. Difference: unrelated minus related, above 0 where related words are "
            f"closer. Square brackets: intervals over pairs (Student's t, {confidence} for all of this table "
            "together); they hold for these trained models.",
        ),
        *(Text(said) for said in dict.fromkeys(_pairs(found) for _, found in first if found.related)),
    ]


def _too_few(found: Relatedness) -> str:
    known = found.given - len(found.left_out)
    return (
        f"its vocabulary has both words of {known} of {found.given} pairs, fewer than {FEWEST}; no distance is given. "
        "Name pairs of its own words: pairs=FILE, two related words a line"
    )


def _pairs(found: Relatedness) -> str:
    words = found.related.words if found.related else []
    counts = sorted(found.counts.values())
    left_out = f" Left out, because a word is not in the vocabulary: {_listed(found.left_out)}." * bool(found.left_out)
    return (
        f"Related: {_listed(words)}. Unrelated, the first of each pair with the second of another, half the list "
        f"further on: {_listed(unrelated_words(words))}. Each word occurs {counts[0]:,} to {counts[-1]:,} times in the "
        f"training text.{left_out}"
    )


def _listed(pairs: Sequence[Words]) -> str:
    return ", ".join(" - ".join(pair) for pair in pairs)
