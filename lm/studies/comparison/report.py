"""Compares runs and writes report.html, .md and .json, for `scripts/compare.py` and at the end of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lm.studies.comparison.document import document
from lm.studies.comparison.figures import figures
from lm.studies.comparison.json_form import json_form
from lm.studies.comparison.reading import read_runs
from lm.studies.comparison.settings import Settings
from lm.studies.page import write
from lm.system.files import report_folder, write_json
from lm.system.terminal import say


def report(folders: Sequence[str], out: str | Path, settings: Settings) -> Path:
    """Compare the runs in `folders` and write the report into `out`; returns the page's path. May raise UserError."""
    runs, left_out = read_runs(folders)
    for job in left_out:
        say(f"left out: {job.folder}: {job.reason}")
    out = report_folder(out)
    found = figures(runs, left_out, out, settings)
    title, blocks = document(found)
    page = write(out, title, blocks)
    write_json(out / "report.json", json_form(found))
    return page
