"""Compares runs and writes report.html, .md and .json, for `scripts/compare.py` and at the end of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lm.studies.comparison.brief_page import brief_page
from lm.studies.comparison.document import document
from lm.studies.comparison.figures import figures
from lm.studies.comparison.groups import grouped
from lm.studies.comparison.json_form import json_form
from lm.studies.comparison.reading import read_runs
from lm.studies.comparison.settings import Settings
from lm.studies.comparison.tables import write_curves, write_table
from lm.studies.page import write
from lm.system.files import report_folder, write_json
from lm.system.terminal import say


def report(
    folders: Sequence[str], out: str | Path, settings: Settings, table: Path | None = None, curves: Path | None = None
) -> Path:
    """Compare the runs in `folders` and write the report into `out`; returns the page's path. May raise UserError.

    `table` and `curves` are .csv files to write beside it (see `lm.studies.comparison.tables`).
    """
    runs, left_out = read_runs(folders)
    for job in left_out:
        say(f"left out: {job.folder}: {job.reason}")
    out = report_folder(out)
    for file, write_rows in ((table, write_table), (curves, write_curves)):
        if file is not None:
            write_rows(file, grouped(runs), left_out)
    found = figures(runs, left_out, out, settings)
    title, blocks = (brief_page if settings.brief else document)(found)
    page = write(out, title, blocks, one_sheet=settings.brief)
    write_json(out / "report.json", json_form(found))
    return page
