"""Ranks that are processes: how they meet, and how one that fails tells the others why."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Thread

import torch
import torch.distributed as dist
from torch.distributed import Store

from lm.system.errors import UserError
from lm.system.log import LOG
from lm.system.ranks import LostRank, Ranks
from lm.system.signals import Interrupted

PATIENCE = timedelta(hours=2)
"""How long an exchange waits for a rank that is alive: longer than the longest evaluation of the first rank."""
TO_MEET = timedelta(seconds=50)
TO_TELL = 10.0
"""Seconds in which a rank that fails must say why, and the others must end after the first rank has ended."""
STUCK = 40.0
"""Seconds in which a rank must notice that another has ended. A card may keep it waiting forever."""

FAILED, CARDS, BEGUN = "failed", "cards", "begun"
"""Keys of the store: why a rank failed; whether the ranks use cards; that rank 0 is there and prepares the run."""


class MeetingRanks(Ranks):
    """Ranks that are processes. `store` is there once they have met: a place for short messages."""

    store: Store | None = None
    met = False

    def open(self) -> Store:
        """The store that all ranks share; starts the others if that is this rank's task."""
        raise NotImplementedError

    def killed(self) -> str | None:
        """A sentence that names a companion that has ended without a word; None if there is none, or none is seen."""
        return None

    def close(self) -> None:
        """Wait for the end of the processes that this rank has started."""

    @contextmanager
    def together(self) -> Iterator[Ranks]:
        """Only the first rank prints messages. One that fails tells the others why. All end together."""
        level = LOG.level
        LOG.setLevel(level if self.first else logging.ERROR)
        try:
            yield self
        except BaseException as error:
            self.tell_failure(error)
            raise
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            self.close()
            self.met = False
            LOG.setLevel(level)

    def tell_failure(self, error: BaseException) -> None:
        """Tell the others why this rank fails, unless another has failed before."""
        what = str(error) if isinstance(error, (UserError, Interrupted)) else f"{type(error).__name__}: {error}"
        said = what if isinstance(error, LostRank) else f"rank {self.rank} failed: {what}"
        with suppress(RuntimeError):
            if self.store is not None:
                self.store.compare_set(FAILED, "", said)

    def connect(self) -> None:
        if self.met:
            return
        self.store = store = self.store or self.open()
        self.met = True
        if self.first:
            store.set(CARDS, "yes" if self.on_cards else "no")
        store.set(f"here {self.rank}", "")
        self.await_others(store)
        self.on_cards = store.get(CARDS) == b"yes"
        if self.on_cards:
            torch.cuda.set_device(self.card)
        backend = "cpu:gloo,cuda:nccl" if self.on_cards else "gloo"
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size, timeout=PATIENCE)
        Thread(target=self._watch, daemon=True).start()

    def await_others(self, store: Store) -> None:
        """Wait until all ranks are there. Raises LostRank if one has failed, UserError after `TO_MEET`."""
        until = time.monotonic() + TO_MEET.total_seconds()
        while not store.check([f"here {rank}" for rank in range(self.size)]):
            self.check()
            if time.monotonic() > until and not self.sees_others(store):
                raise UserError(f"rank {self.rank} of {self.size} waited {TO_MEET.seconds} s for the others in vain")
            time.sleep(0.05)

    def sees_others(self, store: Store) -> bool:
        """Whether those that are not there yet are known to be alive."""
        return not self.first and store.check([BEGUN])

    def check(self) -> None:
        if self._has_lost():
            raise LostRank(self.why_lost())

    def _has_lost(self) -> bool:
        """Whether another rank was killed, or has said that it failed."""
        return self.killed() is not None or (self.store is not None and self.store.check([FAILED]))

    def _watch(self) -> None:
        """End this process if another rank has ended and the main thread still waits for it long after."""
        with suppress(RuntimeError):  # the store has ended with rank 0
            while self.met:
                if self._has_lost():
                    time.sleep(STUCK)
                    if self.met:
                        LOG.error("error: %s", self.why_lost())
                        os._exit(1)
                time.sleep(1)

    def why_lost(self) -> str:
        until = time.monotonic() + TO_TELL
        while time.monotonic() < until:
            with suppress(RuntimeError):
                if self.store is not None and self.store.check([FAILED]):
                    return self.store.get(FAILED).decode()
            if killed := self.killed():
                return killed
            time.sleep(0.1)
        return f"rank {self.rank} lost its connection to another rank, which was killed or whose machine is gone"
