"""Which of several processes this one is, if torchrun or Slurm's srun started it; without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Launched:
    """One of `size` processes that `by` started together, `local_size` of them on this machine."""

    by: str
    rank: int
    size: int
    local_rank: int
    local_size: int


def launched(environment: Mapping[str, str] = os.environ) -> Launched | None:
    """This process's place among those of torchrun or srun; None if it was started alone."""
    if "TORCHELASTIC_RUN_ID" in environment:
        by, names = "torchrun", ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        found = Launched(by, *(int(environment[name]) for name in names))
    elif "SLURM_STEP_NUM_TASKS" in environment:  # srun sets it, sbatch does not
        size = int(environment["SLURM_STEP_NUM_TASKS"])
        local = environment.get("SLURM_STEP_TASKS_PER_NODE", str(size)).split("(")[0].split(",")[0]
        found = Launched("srun", int(environment["SLURM_PROCID"]), size, int(environment["SLURM_LOCALID"]), int(local))
    else:
        return None
    return found if found.size > 1 else None
