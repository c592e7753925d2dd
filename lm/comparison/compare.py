"""`scripts/compare.py`, and the report behind a sweep: runs in, report.html, report.md and report.json out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lm.comparison.document import document
from lm.comparison.figures import figures
from lm.comparison.reading import read_runs
from lm.comparison.trained import Settings
from lm.devices import device
from lm.errors import UserError
from lm.files import report_folder
from lm.page import write
from lm.progress import say
from lm.report import write_json


def compare(cfg: DictConfig) -> None:
    """Write a report of `cfg.runs` into the folder `cfg.out`. Raises UserError for what cannot be compared at all."""
    if OmegaConf.is_missing(cfg, "runs"):
        raise UserError("runs is missing; name folders of runs, or of a sweep: runs=[DIR,DIR]")
    given: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    runs, out, accelerator = given.pop("runs"), given.pop("out"), given.pop("accelerator")
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    settings = Settings(**{**given, **lists}, device=str(device(accelerator["accelerator"])))
    print(report(runs, out, settings))


def report(folders: Sequence[str], out: str | Path, settings: Settings) -> Path:
    """Write the report of the runs in `folders` into `out`; the page's path. Raises UserError."""
    runs, left_out = read_runs(folders)
    for job in left_out:
        say(f"left out: {job.folder}: {job.reason}")
    out = report_folder(out)
    found = figures(runs, left_out, out, settings)
    title, blocks = document(found)
    page = write(out, title, blocks)
    write_json(out / "report.json", found)
    return page
