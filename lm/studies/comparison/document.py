"""Makes the comparison's page from its numbers: one section for each question of the classic exercise."""

from __future__ import annotations

from textwrap import shorten
from typing import Any

from lm.studies.comparison import sentences
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.sections.learning_rates import learning_rates
from lm.studies.comparison.sections.prediction import chance, prediction
from lm.studies.comparison.sections.ranking import ranking
from lm.studies.comparison.sections.related import related
from lm.studies.comparison.sections.short import short
from lm.studies.comparison.sections.words import distances, embeddings
from lm.studies.comparison.sections.writing import writing
from lm.studies.comparison.sentences import number
from lm.studies.page import Block, Contents, Heading, Statements, Table, Text

ONE_SEED = "Every setting has one seed here: how much another seed would change a figure is not known."


def document(report: Figures) -> tuple[str, list[Block]]:
    """The title and the blocks of the comparison's page."""
    found: list[Block | None] = [Text(_about(report))]
    if report.left_out:
        found.append(Statements([f"Left out: {job.folder}: {job.reason}" for job in report.left_out]))
    for section in (
        learning_rates,
        prediction,
        ranking,
        chance,
        writing,
        related,
        distances,
        embeddings,
        _limits,
        _sources,
    ):
        found += section(report)
    blocks = [block for block in found if block is not None]
    contents = Contents([block for block in blocks if isinstance(block, Heading) and block.level == 2])
    return title(report), [*short(report), contents, *blocks]


def title(report: Figures) -> str:
    names = [group.name for group in report.groups]
    return "Runs compared: " + (" / ".join(names) if len(", ".join(names)) < 130 else f"{len(names)} settings")


def _about(report: Figures) -> str:
    level = f"{100 * report.settings.confidence:g}%"
    return (
        f"{len(report.runs)} runs in {len(report.groups)} settings; runs that differ only in their seed are one "
        f"setting.{differences_in_words(report)} Square brackets hold {level} intervals over seeds (Student's t) "
        "unless they say otherwise; a figure without them comes from one run. Every number here is in report.json, or "
        "is a count or mean of numbers in it; report.json names the files that each run's figures come from."
    )


def differences_in_words(report: Figures, most: int = 6) -> str:
    """Which settings differ, and their values in the order of the groups, as a sentence; empty for one group."""
    if not report.differ:
        return ""
    each = [f"{key} ({' / '.join(map(_short, values))})" for key, values in list(report.differ.items())[:most]]
    more = f" and {len(report.differ) - most} more (all in report.json)" if len(report.differ) > most else ""
    return f" They differ in {', '.join(each)}{more}."


def _short(value: Any) -> str:
    return shorten("null" if value is None else str(value).lower() if isinstance(value, bool) else str(value), 40)


def _limits(report: Figures) -> list[Block | None]:
    said = [f"{row.figure}, {' and '.join(row.runs)}: {row.reason}." for row in report.refused]
    if all(len(group.runs) == 1 for group in report.groups):
        said.append(ONE_SEED)
    said.append("For the effect of detaching the state on memory, time and reach see scripts/tbptt.py.")
    return [Heading("What is not compared, and why"), Statements(said)]


def _sources(report: Figures) -> list[Block | None]:
    rows = [
        [
            run.label,
            str(run.seed),
            str(run.best_epoch or "-"),
            *_scored(run.valid, run.unknown.valid),
            *_scored(run.test, run.unknown.test),
            number(run.training_seconds, 3),
            " ".join(run.overrides),
            str(run.files.result),
        ]
        for run in report.runs
    ]
    scores = ["valid", "unknown", "test", "unknown"]
    header = ["", "seed", "best epoch", *scores, "seconds of training", "settings typed", "file"]
    caption = (
        "Event files, checkpoints and the nats of every word of the test text: see `files` of each run in report.json."
    )
    return [Heading("All runs, and the files of their figures"), Table(header, rows, caption)]


def _scored(score: dict[str, Any], unknown: int | None) -> tuple[str, str]:
    """A score's perplexity, and how many of its tokens are unknown."""
    if not score.get("tokens"):
        return "-", "-"
    counts = None if unknown is None else [unknown]
    return number(score.get("perplexity")), sentences.unknown(counts, [score["tokens"]])
