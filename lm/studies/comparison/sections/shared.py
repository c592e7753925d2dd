"""Functions that several sections of the page use."""

from __future__ import annotations

from collections.abc import Sequence

from lm.studies.comparison.figures import Figures
from lm.studies.comparison.group_figures import GroupFigures
from lm.studies.comparison.run_figures import RunFigures


def firsts(runs: Sequence[RunFigures]) -> list[RunFigures]:
    """The first run of each group of runs with the same settings."""
    return list({run.group: run for run in reversed(runs)}.values())[::-1]


def by_name(report: Figures) -> dict[str, GroupFigures]:
    """The groups of a report by their names."""
    return {group.name: group for group in report.groups}


def texts(report: Figures) -> list[str | None]:
    """The runs' training texts, in order of appearance. Figures on different texts are not compared."""
    return list(dict.fromkeys(run.text for run in report.runs))
