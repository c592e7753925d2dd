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
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

import torch
from torch.distributed import Store, TCPStore
from torch.distributed.rendezvous import rendezvous

from lm.system.devices import use_threads
from lm.system.errors import UserError
from lm.system.launched import Launched, launched
from lm.system.log import LOG, log_warnings
from lm.system.meeting import TO_MEET, TO_TELL, MeetingRanks
from lm.system.ranks import ALONE, Ranks
from lm.system.signals import Interrupted

STUCK = 40.0
"""Seconds in which the first rank must notice that another ended. A card may keep it waiting forever."""

Follower = Callable[[Ranks], Any]


@contextmanager
def companions(size: int, on_cards: bool, threads: int | None, follower: Follower) -> Iterator[Ranks]:
    """The ranks of a run, for its rank 0: this process.

    If torchrun or srun started this process, its companions are there already. Otherwise they are started on this
    machine when the ranks first exchange something; `follower` runs in each of them. When the context ends, all have
    ended. `threads` is the number of the processor's threads for each rank (None: equal shares).

    Raises UserError if the ranks do not meet within `TO_MEET`.
    """
    if size == 1:
        yield ALONE
        return
    place = launched()
    company = _Placed(place, on_cards) if place else _Starting(size, on_cards, follower)
    with _threads(threads, place.local_size if place else size), company.together():
        yield company


@contextmanager
def _threads(count: int | None, sharing: int) -> Iterator[None]:
    """Inside the context, this process computes with `count` threads (None: an equal share for `sharing` processes)."""
    before = torch.get_num_threads()
    use_threads(count or max(1, before // sharing))
    try:
        yield
    finally:
        use_threads(before)


def follow_launched(threads: int | None, follower: Follower) -> bool:
    """If torchrun or srun started this process as another rank than 0, run `follower` in it and return True."""
    place = launched()
    if place is None or place.rank == 0:
        return False
    with _threads(threads, place.local_size), _Placed(place).together() as ranks:
        follower(ranks)
    return True


def dismiss() -> None:
    """On rank 0 of processes that torchrun or srun started: tell the others that there is nothing to do."""
    if place := launched():
        with _Placed(place).together() as ranks:
            ranks.from_first(None)


class _Placed(MeetingRanks):
    """A rank that torchrun or srun has started."""

    def __init__(self, place: Launched, on_cards: bool = False) -> None:
        super().__init__(place.rank, place.size, place.local_rank, on_cards)
        self.by = place.by

    def open(self) -> Store:
        if self.by == "srun":
            from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

            slurm = SLURMEnvironment()
            os.environ.update(MASTER_ADDR=slurm.main_address, MASTER_PORT=str(slurm.main_port))
        try:
            found: Store = next(rendezvous("env://", self.rank, self.size, timeout=TO_MEET))[0]
            return found
        except RuntimeError as error:
            raise UserError(
                f"rank {self.rank} cannot reach rank 0 at {os.environ.get('MASTER_ADDR')}, port "
                f"{os.environ.get('MASTER_PORT')}: it ended early, or the machines cannot connect "
                f"({type(error).__name__})"
            ) from None


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
        Thread(target=self._watch, args=(dict(self.processes),), daemon=True).start()
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

    def _watch(self, processes: dict[int, BaseProcess]) -> None:
        """End this process if a companion has failed and the main thread still waits for it long after."""
        alive = {process.sentinel: rank for rank, process in processes.items()}
        while alive:
            for sentinel in wait([*alive]):
                rank = alive.pop(sentinel)  # type: ignore[arg-type]
                if processes[rank].exitcode == 0:
                    continue
                time.sleep(STUCK)
                if self.processes:  # not closed
                    LOG.error("error: %s", self.killed())
                    os._exit(1)


class _Started(MeetingRanks):
    """A rank that rank 0 has started."""

    def __init__(self, rank: int, size: int, port: int) -> None:
        super().__init__(rank, size, rank)
        self.port = port

    def open(self) -> Store:
        return TCPStore("127.0.0.1", self.port, is_master=False, timeout=TO_MEET)


def _follow_started(rank: int, size: int, port: int, threads: int, follower: Follower) -> None:
    """The life of a process that rank 0 has started. Rank 0 hears of Ctrl-C itself, and reports all errors."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
