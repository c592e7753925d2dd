"""What the process that starts a sweep tells its jobs, which may be other processes: through the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

THREADS, FOLDER = "LM_THREADS_PER_JOB", "LM_SWEEP_FOLDER"


def tell_jobs(folder: Path, threads: int | None) -> None:
    """Tell the jobs of a sweep how many of the processor's threads each may take (None: all)."""
    os.environ[FOLDER] = str(folder)
    if threads is not None:
        os.environ[THREADS] = str(threads)


def threads_of_a_job() -> int | None:
    """How many threads the sweep leaves to this job; None if it is not part of a sweep, or runs alone."""
    return int(os.environ[THREADS]) if THREADS in os.environ else None


def sweep_folder() -> Path | None:
    """The folder of the sweep that this process has started; None before it starts."""
    return Path(os.environ[FOLDER]) if FOLDER in os.environ else None


@contextmanager
def told_only_here() -> Iterator[None]:
    """Forget at the end of the context what was told inside."""
    before = {name: os.environ.get(name) for name in (THREADS, FOLDER)}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
