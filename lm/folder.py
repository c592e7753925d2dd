"""A run's folder before the run: what an earlier start has left there, and where that leaves this one."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lm.checkpoint import FOLDER, LAST, find
from lm.errors import UserError
from lm.report import read_result


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

    def starting_point(self, checkpoint: str | None, in_sweep: bool) -> Path | None:
        """The checkpoint file to go on from, or None to start afresh; `last` is the run's own.

        A job of a sweep always goes on where it stopped, also where it began from another run's checkpoint. Raises
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

    def overrides(self, typed: list[str], goes_on: bool) -> list[str]:
        """What has been set on the command line since the run began; the newest of each setting."""
        before = self.earlier.get("overrides") or [] if goes_on else []
        added = [override for override in typed if not goes_on or override.partition("=")[0] != "checkpoint"]
        newest = {override.partition("=")[0].lstrip("+"): override for override in [*before, *added]}
        return list(newest.values())
