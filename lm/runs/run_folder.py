"""A run's folder: the files that an earlier start left in it, and the checkpoint from which the run resumes."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lm.runs.checkpoint import BEST, FOLDER, LAST, find
from lm.runs.result import read_result
from lm.system.errors import UserError
from lm.system.files import whole

INITIAL = "initial_embedding.pt"
"""Name of the file that holds the embedding as it was before training."""

EVENTS = "events.out.tfevents.*"
"""Pattern of the names of TensorBoard's event files, which hold a run's curves."""
TABLE = "curves.csv"
"""Name of the table of a run's curves."""


def curve_files(folder: Path) -> dict[str, Path]:
    """The files that hold a run's curves, by their names relative to its folder."""
    paths = [path for pattern in (EVENTS, f"*/{EVENTS}", TABLE) for path in folder.glob(pattern)]
    return {path.relative_to(folder).as_posix(): path for path in paths}


@dataclass(frozen=True)
class RunFolder:
    """The folder `path` of a run before it starts; `earlier` is the result.json in it (empty if there is none)."""

    path: Path
    earlier: dict[str, Any] = field(init=False)
    earlier_curves: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "earlier", read_result(self.path))
        object.__setattr__(self, "earlier_curves", frozenset(curve_files(self.path)))

    @cached_property
    def holds_checkpoints(self) -> bool:
        return any((self.path / FOLDER).glob("*.ckpt"))

    @property
    def finished(self) -> bool:
        return self.earlier.get("status") == "completed"

    @property
    def holds_run(self) -> bool:
        """Whether the folder holds a run that must not be overwritten: a finished run, or one with checkpoints."""
        return self.holds_checkpoints or self.finished

    def holds(self, checkpoint: Path) -> bool:
        """Whether a checkpoint file is in this run's folder."""
        return checkpoint.resolve().parent.parent == self.path.resolve()

    def best(self) -> Path | None:
        """The checkpoint to test: `best.ckpt`, else `last.ckpt`; None if the folder holds no checkpoint now."""
        return find(self.path) if any((self.path / FOLDER).glob("*.ckpt")) else None

    def starting_point(self, checkpoint: str | None, in_sweep: bool) -> Path | None:
        """The checkpoint file to resume from, or None for a new run; `last` is the run's own last checkpoint.

        A job of a sweep always resumes where it stopped, even if it began from another run's checkpoint. Raises
        UserError if the folder holds a run and `checkpoint` does not ask to resume that run.
        """
        if self.holds_checkpoints and (in_sweep or checkpoint == "last"):
            return find(self.path, prefer=LAST).resolve()
        if self.holds_run and not in_sweep and (checkpoint is None or not self.holds_checkpoints):
            raise self.taken()
        if checkpoint is None or checkpoint == "last":
            return None
        start = find(checkpoint, prefer=LAST).resolve()
        if self.holds_checkpoints and not self.holds(start):
            raise UserError(
                f"{self.path} already holds a run, and {start} belongs to another: resume the run in this folder with "
                f"checkpoint={self.path}, or choose another folder with hydra.run.dir=DIR"
            )
        return start

    def taken(self) -> UserError:
        """The error to raise if a new run would start in this folder, which already holds a run."""
        on = "resume it with checkpoint=last, or choose" if self.holds_checkpoints else "choose"
        return UserError(f"{self.path} already holds a run: {on} another folder with hydra.run.dir=DIR")

    def overrides(self, typed: list[str], resumes: bool) -> list[str]:
        """The settings typed on the command line since the run began, with the latest value of each setting."""
        before = self.earlier.get("overrides") or [] if resumes else []
        added = [override for override in typed if not resumes or override.partition("=")[0] != "checkpoint"]
        newest = {override.partition("=")[0].lstrip("+"): override for override in [*before, *added]}
        return list(newest.values())

    def bring_along(self, start: Path) -> None:
        """Copy files into this folder for a run that resumes from a checkpoint in another folder.

        The files are: the checkpoint `start`, so that the run can resume even if it is killed at once; the best
        checkpoint so far, which may stay the best; and the initial embedding.
        """
        brought = {start.with_name(BEST): self.path / FOLDER / BEST, start.parent.parent / INITIAL: self.path / INITIAL}
        brought[start] = self.path / FOLDER / LAST
        for source, target in brought.items():
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                with whole(target, "free some space or choose another folder with hydra.run.dir=DIR") as aside:
                    shutil.copyfile(source, aside)

    def cut_curves(self, sizes: dict[str, int]) -> None:
        """Remove curve points that a resumed run will write again: cut each file to its size at the checkpoint.

        `sizes` holds these sizes in bytes. A file that is not in `sizes` is newer than the checkpoint, or from a start
        that saved no checkpoint; it is deleted.
        """
        for name, path in curve_files(self.path).items():
            if name in sizes:
                os.truncate(path, sizes[name])
            else:
                path.unlink()

    def await_later_curves(self) -> None:
        """Wait until a new event file is sure to be read after the earlier ones: at most until the next second.

        TensorBoard reads event files in the order of their names. A name begins with the second in which the file was
        made; within one second the order would be that of process numbers.
        """
        names = [Path(name).name for name in self.earlier_curves]
        seconds = [name.removeprefix(EVENTS.removesuffix("*")).partition(".")[0] for name in names]
        newest = max((int(second) for second in seconds if second.isdecimal()), default=0)
        if 0 < (left := newest + 1 - time.time()) <= 1:
            time.sleep(left)

    def drop_new_curves(self) -> None:
        """Delete the curves' files that this start has written, because it did not train."""
        for name, path in curve_files(self.path).items():
            if name not in self.earlier_curves:
                path.unlink()
