"""From the figures to the page: the questions of the classic exercise, a section each."""

from __future__ import annotations

from lm.studies.comparison.figures import Figures
from lm.studies.comparison.sections.prediction import chance, prediction
from lm.studies.comparison.sections.short import short
from lm.studies.comparison.sections.words import distances, embeddings
from lm.studies.comparison.sections.writing import writing
from lm.studies.comparison.sentences import number
from lm.studies.page import Block, Heading, Statements, Table, Text


def document(report: Figures) -> tuple[str, list[Block]]:
    """A title, and the blocks of the page."""
    groups = report.groups
    names = [group.name for group in groups]
    title = "Runs compared: " + (" / ".join(names) if len(", ".join(names)) < 130 else f"{len(names)} settings")
    blocks: list[Block | None] = [Text(_about(report))]
    if report.left_out:
        blocks.append(Statements([f"Left out: {job.folder}: {job.reason}" for job in report.left_out]))
    for section in (short, prediction, chance, writing, distances, embeddings, _limits, _sources):
        blocks += section(report)
    return title, [block for block in blocks if block is not None]


def _about(report: Figures) -> str:
    level = f"{100 * report.settings.confidence:g}%"
    return (
        f"{len(report.runs)} runs in {len(report.groups)} settings; runs that differ in their seed alone are one "
        f"setting. Square brackets hold {level} intervals over seeds (Student's t) unless they say otherwise; a figure "
        "without them comes from one run. Every number here stands in report.json, or is a count or mean of what "
        "stands there; report.json names the files that each run's figures are from."
    )


def _limits(report: Figures) -> list[Block | None]:
    said = [f"{row.figure}, {' and '.join(row.runs)}: {row.reason}." for row in report.refused]
    if all(len(group.runs) == 1 for group in report.groups):
        said.append("Every setting has one seed here: no figure on this page knows how much another seed would change.")
    said.append("What detaching the state buys in memory and time, and costs in reach: see scripts/tbptt.py.")
    return [Heading("What is not compared, and why"), Statements(said)]


def _sources(report: Figures) -> list[Block | None]:
    rows = [
        [
            run.label,
            str(run.seed),
            str(run.best_epoch or "-"),
            number(run.valid_perplexity),
            number(run.test_perplexity),
            number(run.training_seconds, 3),
            " ".join(run.overrides),
            str(run.files.result),
        ]
        for run in report.runs
    ]
    header = ["", "seed", "best epoch", "valid", "test", "seconds of training", "settings typed", "file"]
    caption = (
        "Event files, checkpoints and the nats of every word of the test text: see `files` of each run in report.json."
    )
    return [Heading("Every run, and where its figures come from"), Table(header, rows, caption)]
