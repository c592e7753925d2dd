"""Starts the other processes of a run, or finds those that torchrun or srun started; says which one failed, and why."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

import torch
from torch.distributed import Store, TCPStore

from lm.system.devices import use_threads
from lm.system.errors import UserError
from lm.system.launched import Launched, launched
from lm.system.log import LOG, log_warnings
from lm.system.meeting import BEGUN, TO_MEET, TO_TELL, MeetingRanks
from lm.system.placed import PlacedRanks
from lm.system.ranks import ALONE, Ranks
from lm.system.signals import PREEMPTING, Interrupted

Follower = Callable[[Ranks], Any]


@contextmanager
def companions(size: int, on_cards: bool, threads: int | None, follower: Follower, job: int = 0) -> Iterator[Ranks]:
    """The ranks of a run, for its rank 0: this process.

    If torchrun or srun started this process, its companions are there already, and meet once for each `job` of a sweep.
    Otherwise they are started on this machine when the ranks first exchange something; `follower` runs in each of them.
    When the context ends, all have ended. `threads` is the number of the processor's threads for each rank (None: equal
    shares).

    Raises UserError if the ranks do not meet within `TO_MEET`.
    """
    if size == 1:
        yield ALONE
        return
    place = launched()
    company = PlacedRanks(place, job, on_cards) if place else _Starting(size, on_cards, follower)
    with _threads(threads, _sharing(place, size)), company.together():
        yield company


def follow_launched(threads: int | None, follower: Follower, job: int) -> bool:
    """If torchrun or srun started this process as another rank than 0, run `follower` in it and return True."""
    place = launched()
    if place is None or place.rank == 0:
        return False
    with _threads(threads, _sharing(place, place.size)), PlacedRanks(place, job).together() as ranks:
        follower(ranks)
    return True


@contextmanager
def telling_others(job: int) -> Iterator[None]:
    """On rank 0 of processes that torchrun or srun started: they are told how this context ends if they did not meet.

    So no one waits for a run that has a mistake in its settings, or that is finished already.
    """
    place = launched()
    if place is None:
        yield
        return
    company = PlacedRanks(place, job)
    company.store = company.open()
    company.store.set(BEGUN, "")
    try:
        yield
    except BaseException as error:
        company.tell_failure(error)
        raise
    if not company.store.check(["here 0"]):  # nothing to do: meet only to say so
        with company.together():
            company.from_first(None)


def _sharing(place: Launched | None, size: int) -> int:
    """How many ranks share the cores that this process sees: srun may have bound it to its own."""
    bound = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < (os.cpu_count() or 1)
    if place is None:
        return size
    return 1 if place.by == "srun" and bound else place.local_size


@contextmanager
def _threads(count: int | None, sharing: int) -> Iterator[None]:
    """Inside the context, this process computes with `count` threads (None: an equal share for `sharing` processes)."""
    before = torch.get_num_threads()
    use_threads(count or max(1, before // sharing))
    try:
        yield
    finally:
        use_threads(before)


class _Starting(MeetingRanks):
    """Rank 0, which starts the others on this machine."""

    def __init__(self, size: int, on_cards: bool, follower: Follower) -> None:
        super().__init__(0, size, 0, on_cards)
        self.follower = follower
        self.processes: dict[int, BaseProcess] = {}

    def open(self) -> Store:
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=TO_MEET)
        context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads in an unknown state
        for rank in range(1, self.size):
            arguments = rank, self.size, store.port, torch.get_num_threads(), self.follower
            self.processes[rank] = context.Process(target=_follow_started, args=arguments)
            self.processes[rank].start()
        return store

    def killed(self) -> str | None:
        for rank, process in self.processes.items():
            if code := process.exitcode:
                how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                return f"rank {rank} {how}"
        return None

    def close(self) -> None:
        until = time.monotonic() + TO_TELL
        for process in self.processes.values():
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        self.processes = {}

    def sees_others(self, store: Store) -> bool:
        return True  # `check` notices their end


class _Started(MeetingRanks):
    """A rank that rank 0 has started."""

    def __init__(self, rank: int, size: int, port: int) -> None:
        super().__init__(rank, size, rank)
        self.port = port

    def open(self) -> Store:
        return TCPStore("127.0.0.1", self.port, is_master=False, timeout=TO_MEET)


def _follow_started(rank: int, size: int, port: int, threads: int, follower: Follower) -> None:
    """The life of a process that rank 0 has started. Rank 0 hears of Ctrl-C itself, and reports all errors."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *PREEMPTING})
    Thread(target=_end_with_parent, daemon=True).start()
    log_warnings()
    use_threads(threads)
    try:
        with _Started(rank, size, port).together() as ranks:
            follower(ranks)
    except (UserError, Interrupted):
        sys.exit(1)
    except Exception as error:
        LOG.error("rank %d: %s", rank, "".join(traceback.format_exception(error)).rstrip())
        sys.exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
