"""A run's folder: what an earlier start has left there, and where that leaves this one."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lm.runs.checkpoint import BEST, FOLDER, LAST, find
from lm.runs.result import read_result
from lm.system.errors import UserError
from lm.system.files import whole

INITIAL = "initial_embedding.pt"
"""The embedding before training."""

EVENTS = "events.out.tfevents.*"
"""TensorBoard's files."""


@dataclass(frozen=True)
class RunFolder:
    """The folder `path` of a run, as it is found; `earlier` is the result.json in it, empty without one."""

    path: Path
    earlier: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "earlier", read_result(self.path))

    @cached_property
    def holds_checkpoints(self) -> bool:
        return any((self.path / FOLDER).glob("*.ckpt"))

    @property
    def finished(self) -> bool:
        return self.earlier.get("status") == "completed"

    @property
    def holds_run(self) -> bool:
        """Whether there is something to lose."""
        return self.holds_checkpoints or self.finished

    def holds(self, checkpoint: Path) -> bool:
        """Whether a checkpoint is one of the run's own."""
        return checkpoint.resolve().parent.parent == self.path.resolve()

    def best(self) -> Path | None:
        """The checkpoint to be tested, as the folder is now; None where no checkpoint was kept."""
        return find(self.path) if any((self.path / FOLDER).glob("*.ckpt")) else None

    def starting_point(self, checkpoint: str | None, in_sweep: bool) -> Path | None:
        """The checkpoint file to resume from, or None to start afresh; `last` is the run's own.

        A job of a sweep always resumes where it stopped, also where it began from another run's checkpoint. Raises
        UserError for a folder that holds another run, or one that nothing is said of.
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
                f"{self.path} holds another run than {start}: go on with that one by checkpoint={self.path}, or choose "
                "another folder with hydra.run.dir=DIR"
            )
        return start

    def taken(self) -> UserError:
        """What is said where another run would begin in this folder."""
        on = "go on with checkpoint=last, or choose" if self.holds_checkpoints else "choose"
        return UserError(f"{self.path} already holds a run: {on} another folder with hydra.run.dir=DIR")

    def overrides(self, typed: list[str], resumes: bool) -> list[str]:
        """What has been set on the command line since the run began; the newest of each setting."""
        before = self.earlier.get("overrides") or [] if resumes else []
        added = [override for override in typed if not resumes or override.partition("=")[0] != "checkpoint"]
        newest = {override.partition("=")[0].lstrip("+"): override for override in [*before, *added]}
        return list(newest.values())

    def bring_along(self, start: Path) -> None:
        """A run that resumes in another folder takes along what it starts from, so that killed at once it can resume
        too, the best checkpoint so far, which may stay the best, and the embedding that it began with."""
        brought = {start.with_name(BEST): self.path / FOLDER / BEST, start.parent.parent / INITIAL: self.path / INITIAL}
        brought[start] = self.path / FOLDER / LAST
        for source, target in brought.items():
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                with whole(target, "free some space or choose another folder with hydra.run.dir=DIR") as aside:
                    shutil.copyfile(source, aside)

    def cut_curves(self, sizes: dict[str, int]) -> None:
        """Take back the curve points that the run will write again: cut each event file to its size at the checkpoint.

        A file that the checkpoint does not know came later, or from a start that never reached one, and is deleted.
        """
        for path in self.path.glob(EVENTS):
            if path.name in sizes:
                os.truncate(path, sizes[path.name])
            else:
                path.unlink()
