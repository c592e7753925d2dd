"""Reads the results and curves of runs from their folders. Measures nothing."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lm.runs.checkpoint import FOLDER
from lm.runs.result import RESULT, read_result
from lm.runs.run_folder import EVENTS
from lm.system.errors import UserError


class LeftOut(NamedTuple):
    """A run that cannot be compared, and the reason."""

    folder: str
    reason: str


class Curve(NamedTuple):
    """The curve of one TensorBoard tag: x-axis [n] and values [n], in float64."""

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the content of its result.json, and its curves by TensorBoard tag."""

    folder: Path
    result: dict[str, Any]
    name: str

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Read when first used: a figure of curves.csv needs no events."""
        return read_curves(self.folder)

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.result["config"]
        return config

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def tokeniser(self) -> dict[str, Any]:
        """The settings of its tokeniser; empty if its text has none to choose, or it is of an older version."""
        data = self.config.get("data", {})
        node: dict[str, Any] = data.get("tokeniser") or {}
        shared = ("lowercase", "normalise")
        return node and {**node, **{key: node.get(key) or data.get(key) or None for key in shared}}

    @property
    def tokeniser_name(self) -> str | None:
        """Its tokeniser's option of data/tokeniser, and what it does to the text before."""
        if not (settings := self.tokeniser):
            return None
        option = settings["_target_"].rpartition(".")[2].lower()
        return " ".join([option, *["lowercase"] * bool(settings["lowercase"]), *filter(None, [settings["normalise"]])])


def read_runs(folders: Iterable[str]) -> tuple[list[Run], list[LeftOut]]:
    """The finished runs in `folders` (a sweep's folder means all its jobs), and the runs left out.

    Raises UserError for an empty list, a folder that does not exist or holds no run, and if no run is finished.
    """
    jobs = list(dict.fromkeys(job for folder in folders for job in _jobs(Path(folder).expanduser())))
    if not jobs:
        raise UserError("runs is empty; name folders of runs, or of a sweep: runs=[DIR,DIR]")
    runs, left_out = [], []
    for folder in jobs:
        result = read_result(folder)
        if reason := _flaw(result):
            left_out.append(LeftOut(str(folder), reason))
        else:
            runs.append(Run(folder, result, ""))
    if not runs:
        raise UserError("no finished run to compare: " + "; ".join(f"{job.folder}: {job.reason}" for job in left_out))
    return [replace(run, name=name) for run, name in zip(runs, _names(runs), strict=True)], left_out


def read_curves(folder: Path) -> dict[str, Curve]:
    """Read all scalars from a run's TensorBoard events, each step once; empty if there are no events."""
    if not any(folder.glob(EVENTS)):
        return {}
    logging.getLogger("tensorboard").setLevel(logging.WARNING)  # otherwise it writes a line per file into a sweep's log
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 1}).Reload()
    curves = {}
    for tag in events.Tags()["scalars"]:
        points = events.Scalars(tag)
        curves[tag] = Curve(np.array([p.step for p in points], float), np.array([p.value for p in points], float))
    return curves


def _jobs(folder: Path) -> list[Path]:
    """The run folders in `folder`: the folder itself for a run, or the folders of all jobs for a sweep."""
    if not folder.is_dir():
        raise UserError(f"runs: {folder} {'is a file' if folder.exists() else 'does not exist'}; name a run's folder")
    if _is_run(folder):
        return [folder.resolve()]
    jobs = sorted((path for path in folder.iterdir() if path.is_dir() and _is_run(path)), key=lambda p: p.name.zfill(9))
    if not jobs:
        raise UserError(f"runs: {folder} holds neither a run nor the jobs of a sweep; name a run's folder")
    return [job.resolve() for job in jobs]


def _is_run(folder: Path) -> bool:
    return (folder / RESULT).is_file() or any((folder / sign).is_dir() for sign in (FOLDER, ".hydra"))


def _flaw(result: dict[str, Any]) -> str | None:
    """The reason why a run with this result.json cannot be compared; None if it can."""
    if not result:
        return f"{RESULT} is missing or cannot be read: the run was cut short before it wrote anything"
    if result.get("status") != "completed":
        return f"it failed: {result.get('error') or 'no reason was written'}"
    missing = [key for key in ("config", "valid", "test", "best") if not isinstance(result.get(key), dict)]
    return f"its {RESULT} lacks {', '.join(missing)}" if missing else None


def _names(runs: list[Run]) -> list[str]:
    """Name each run by the shortest end of its path that is unique; a folder that is given again gets a number."""
    folders = list(dict.fromkeys(run.folder for run in runs))
    for depth in range(1, max(len(folder.parts) for folder in folders) + 1):
        short = {folder: "/".join(folder.parts[-depth:]) for folder in folders}
        if len(set(short.values())) == len(folders):
            break
    seen: Counter[Path] = Counter()
    names = []
    for run in runs:
        seen[run.folder] += 1
        again = f" ({seen[run.folder]})" if seen[run.folder] > 1 else ""
        names.append(short[run.folder] + again)
    return names
