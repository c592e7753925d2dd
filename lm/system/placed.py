"""A rank that torchrun or srun has started, and where it meets the others."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache

from torch.distributed import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from lm.system.errors import UserError
from lm.system.launched import Launched, launched
from lm.system.meeting import TO_MEET, TO_TELL, MeetingRanks


class PlacedRanks(MeetingRanks):
    """A rank that torchrun or srun has started."""

    def __init__(self, place: Launched, job: int, on_cards: bool = False) -> None:
        super().__init__(place.rank, place.size, place.local_rank, on_cards)
        self.by, self.job = place.by, job

    def open(self) -> Store:
        try:
            store = PrefixStore(f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{self.job}", shared_store())
        except RuntimeError as error:
            raise UserError(
                f"rank {self.rank} cannot reach rank 0 at {os.environ.get('MASTER_ADDR')}, port "
                f"{os.environ.get('MASTER_PORT')}: it ended early, or the machines cannot connect "
                f"({type(error).__name__})"
            ) from None
        return store

    def close(self) -> None:
        """Say that this rank has read why; the first one waits for that, because the store may end with its process."""
        until = time.monotonic() + TO_TELL
        with suppress(RuntimeError):
            if self.met and self.store is not None:
                self.store.set(f"left {self.rank}", "")
                left = [f"left {rank}" for rank in range(self.size)]
                while self.first and not self.store.check(left) and time.monotonic() < until:
                    time.sleep(0.1)


@cache
def shared_store() -> Store:
    """The store of the processes that torchrun or srun has started. Rank 0 of srun's is its server."""
    place = launched()
    assert place is not None
    if place.by == "srun":
        os.environ.update(zip(("MASTER_ADDR", "MASTER_PORT"), slurm_address(os.environ), strict=True))
    found: Store = next(rendezvous("env://", place.rank, place.size, timeout=TO_MEET))[0]
    return found


def slurm_address(environment: Mapping[str, str]) -> tuple[str, str]:
    """Host and port of rank 0 of a step of Slurm: what MASTER_ADDR and MASTER_PORT say, else its first machine."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    machines = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST", "127.0.0.1")
    number = int(environment.get("SLURM_JOB_ID", 0)) + int(environment.get("SLURM_STEP_ID", 0))
    host = environment.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(machines)
    return host, environment.get("MASTER_PORT") or str(15_000 + number % 10_000)
