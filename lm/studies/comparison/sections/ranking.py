"""The section that ranks runs of different tokenisers; there is none if all runs have the same tokeniser."""

from __future__ import annotations

from lm.studies.comparison.figures import Figures
from lm.studies.comparison.sentences import number
from lm.studies.page import Block, Heading, Statements, Table


def ranking(report: Figures) -> list[Block | None]:
    if not report.ranking:
        return []
    labels = {run.name: run.label for run in report.runs}
    rows = [
        [
            labels[row.run],
            row.tokeniser or "-",
            *map(number, (row.bits_per_byte, row.bits_per_character, row.perplexity_per_word, row.perplexity)),
        ]
        for row in report.ranking
        if row.ranked
    ]
    left = [f"Not ranked: {labels[row.run]}: {row.reason}." for row in report.ranking if not row.ranked]
    figures = ["bits per byte", "bits per character", "perplexity per word", "perplexity per token"]
    table = Table(
        ["", "tokeniser", *figures],
        rows,
        "Of the whole test text, lowest bits per byte first. They do not depend on what a token is. Tokenisers that "
        "drop white space (whitespace, punctuation, some of file) need not predict it, which favours them. There is "
        "no interval: the order does not show that a difference is more than chance.",
    )
    return [
        Heading("Which predict the test text best, whatever their tokens are?"),
        table if rows else None,
        Statements(left) if left else None,
    ]
