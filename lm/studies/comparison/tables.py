"""Runs as tables for other programs: a row for each run, and the points of all curves in long form. Measures nothing.

Every figure is the one in the run's result.json or curves.csv.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm.runs.result import read_result
from lm.studies.comparison.groups import Group, flat
from lm.studies.comparison.reading import LeftOut, Run
from lm.studies.run_curves import rows_of
from lm.system.errors import UserError
from lm.system.files import whole
from lm.system.terminal import say
from lm.training.curve_file import COUNTS

BESIDE = ("config", "overrides", "samples", "status", "error", "seed")
"""Keys of result.json that are no figures, or have a column of their own."""


def write_table(file: Path, groups: Sequence[Group], left_out: Sequence[LeftOut]) -> None:
    """Write a row for each run: the settings that differ between runs, then all of result.json, in flat columns.

    Runs that are left out come last, with the reason and what is known of them. Empty: not known, or not measured.
    """
    jobs = [(group.name, run, "") for group in groups for run in group.runs]
    jobs += [("", run, job.reason) for run, job in zip(_unfinished(left_out, groups), left_out, strict=True)]
    settings = [flat(run.result.get("config") or {}) for _, run, _ in jobs]
    known = [own for own in settings if own]
    differ = [key for key in _keys(known) if key != "seed" and len({own.get(key, "") for own in known}) > 1]
    results = [flat({key: part for key, part in run.result.items() if key not in BESIDE}) for _, run, _ in jobs]
    figures = sorted(_keys(results), key=lambda key: key.startswith("provenance."))  # where they come from is last
    rows = [
        {
            "run": run.name,
            "setting": setting,
            "status": run.result.get("status", "failed"),
            "reason": reason,
            "folder": str(run.folder),
            "seed": run.result.get("seed"),
            **{key: own.get(key) for key in differ},
            **{key: result.get(key) for key in figures},
        }
        for (setting, run, reason), own, result in zip(jobs, settings, results, strict=True)
    ]
    _write(file, list(rows[0]), ([*row.values()] for row in rows))


def write_curves(file: Path, groups: Sequence[Group], left_out: Sequence[LeftOut]) -> None:
    """Write a row for each point of each curve: run, setting, windows, tokens, updates, seconds, tag, value.

    Raises UserError if no run has a curves.csv; runs without one are named on standard error.
    """
    jobs = [(group.name, run) for group in groups for run in group.runs]
    jobs += [("", run) for run in _unfinished(left_out, groups)]
    found = [(setting, run, rows_of(run.folder)) for setting, run in jobs]
    if not any(rows for _, _, rows in found):
        raise UserError("curves: none of the runs has a curves.csv in its folder; an earlier version wrote none")
    for _, run, rows in found:
        if not rows:
            say(f"curves: {run.folder} has no curves.csv")
    points = (
        [run.name, setting, *(row[count] for count in COUNTS), tag, value]
        for setting, run, rows in found
        for row in rows
        for tag, value in row.items()
        if tag not in COUNTS and value
    )
    _write(file, ["run", "setting", *COUNTS, "tag", "value"], points)


def _unfinished(left_out: Iterable[LeftOut], groups: Iterable[Group]) -> list[Run]:
    """The runs that were left out; one whose folder has the name of another run is named by the whole path."""
    taken = {run.name for group in groups for run in group.runs}
    found = []
    for folder in (Path(job.folder) for job in left_out):
        name = folder.name if folder.name not in taken else str(folder)
        taken.add(name)
        found.append(Run(folder, read_result(folder), name))
    return found


def _keys(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _write(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    hint = "free some space or choose another file"
    with whole(file, hint) as aside, aside.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerows([header, *rows])
    say(f"written: {file.resolve()}")
