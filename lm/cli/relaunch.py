"""Goes on with a sweep after one of its workers was killed, which ends all that joblib or submitit does for it."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path

from lm.cli.arguments import quote
from lm.cli.program import program
from lm.system.errors import UserError
from lm.system.log import LOG
from lm.system.sweep_head import may_start_again, sweep_folder

KILLED = ("TerminatedWorkerError", "BrokenProcessPool", "UncompletedJobError")
"""Names of the errors of joblib and submitit that mean: a worker's process has ended without a result."""


def finished_before_relaunch(error: Exception, before: int) -> int | None:
    """If a sweep ended in `error` because a worker was killed, prepare its next start, and return its finished jobs.

    The folder of the sweep stays the same, so that finished jobs are kept and the killed one resumes. None for another
    error. `before` is the number of finished jobs after the last kill (-1: there was none).

    Raises UserError if no job has finished since the last kill, or if the sweep cannot be started again.
    """
    folder = sweep_folder()
    if type(error).__name__ not in KILLED or folder is None:
        return None
    if may_start_again():
        _await_submitit(folder)
    finished = _finished(folder)
    if finished == before or not may_start_again():
        raise UserError(_what_to_do(folder, finished)) from None
    LOG.warning("a worker was killed; the sweep goes on with what is left (finished: %d)", finished)
    sys.argv.append(quote(f"hydra.sweep.dir={folder}"))
    return finished


def _finished(folder: Path) -> int:
    """How many jobs of a sweep have ended well."""
    done = 0
    for path in folder.glob("*/result.json"):
        with suppress(OSError, ValueError):
            done += json.loads(path.read_text(encoding="utf-8")).get("status") == "completed"
    return done


def _what_to_do(folder: Path, finished: int) -> str:
    again = f"{program('train')} {shlex.join([*sys.argv[1:], f'hydra.sweep.dir={folder}'])}"
    if not may_start_again():
        return (
            f"a job was lost ({finished} are finished); when the others have ended, this does what is missing: {again}"
        )
    return (
        f"a worker was killed again and no job finished in between ({finished} are): the job may need more memory than "
        f"there is; run fewer at once, and go on with: {again}"
    )


def _await_submitit(folder: Path) -> None:
    """Wait until the jobs that submitit started on this machine, if any, have ended: one's end does not end others."""
    processes = [int(path.name) for path in (folder / ".submitit").glob("*") if path.name.isdecimal()]
    while any(_runs(process) for process in processes):
        time.sleep(0.5)


def _runs(process: int) -> bool:
    """Whether a process that this one has started still runs."""
    try:
        return os.waitpid(process, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False
