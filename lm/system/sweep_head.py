"""What the process that starts a sweep tells its jobs, through the environment: they may be other processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread

THREADS, FOLDER, AGAIN = "LM_THREADS_PER_JOB", "LM_SWEEP_FOLDER", "LM_SWEEP_MAY_START_AGAIN"

TO_SAVE = 30.0
"""Seconds in which a job must have saved its state after its sweep has ended."""


def tell_jobs(folder: Path, threads: int | None, again: bool) -> None:
    """Tell the jobs of a sweep how many of the processor's threads each may take (None: all).

    `again`: whether the sweep can be started again in its folder after one of its workers was killed.
    """
    os.environ[FOLDER], os.environ[AGAIN] = str(folder), str(again)
    if threads is not None:
        os.environ[THREADS] = str(threads)


def threads_of_a_job() -> int | None:
    """How many threads the sweep leaves to this job; None if it is not part of a sweep, or runs alone."""
    return int(os.environ[THREADS]) if THREADS in os.environ else None


def sweep_folder() -> Path | None:
    """The folder of the sweep that this process has started; None before it starts."""
    return Path(os.environ[FOLDER]) if FOLDER in os.environ else None


def may_start_again() -> bool:
    return os.environ.get(AGAIN) == "True"


def stop_workers() -> None:
    """Ask joblib's workers to stop, and wait until they have saved: joblib itself would kill them."""
    workers = [child for child in multiprocessing.active_children() if child.name.startswith("LokyProcess")]
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + TO_SAVE
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))


def end_worker(head: int, code: int) -> None:
    """End this process if it is a worker of the process `head`: its job was stopped, and it must not start another."""
    if os.getpid() != head and os.getppid() == head:
        logging.shutdown()
        os._exit(code)


@cache
def end_with(head: int) -> None:
    """In a worker of the process `head`, stop as at SIGTERM when that process has ended, and then end.

    Otherwise joblib's workers would stay for ever, and keep the folders of their jobs.
    """
    if os.getppid() == head:
        Thread(target=_end_without_parent, args=(head,), daemon=True).start()


def _end_without_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    until = time.monotonic() + TO_SAVE
    while time.monotonic() < until and signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        time.sleep(0.5)  # while a run listens
    time.sleep(1)  # it writes its result
    os._exit(1)


@contextmanager
def told_only_here() -> Iterator[None]:
    """Forget at the end of the context what was told inside."""
    before = {name: os.environ.get(name) for name in (THREADS, FOLDER, AGAIN)}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
