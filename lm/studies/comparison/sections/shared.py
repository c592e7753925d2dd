"""What several sections need."""

from __future__ import annotations

from collections.abc import Sequence

from lm.studies.comparison.figures import Figures
from lm.studies.comparison.run_figures import RunFigures


def firsts(runs: Sequence[RunFigures]) -> list[RunFigures]:
    """One run of each setting: its first."""
    return list({run.group: run for run in reversed(runs)}.values())[::-1]


def texts(report: Figures) -> list[str | None]:
    """The texts that the runs were trained on, in order of appearance: figures of two of them are not compared."""
    return list(dict.fromkeys(run.text for run in report.runs))
