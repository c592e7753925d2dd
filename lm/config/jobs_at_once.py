"""How many jobs of a sweep run side by side on this machine."""

from __future__ import annotations

import math
import os
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def jobs_at_once(hydra: Any) -> int:
    """The jobs that run side by side here, from the configuration's node `hydra`. Those on a cluster count as one."""
    launcher, sweeper = hydra.launcher, hydra.sweeper
    if "joblib" in launcher._target_:
        workers = int(launcher.n_jobs)
        return min(_jobs(hydra), workers if workers > 0 else max(1, (os.cpu_count() or 1) + 1 + workers))
    if "submitit" in launcher._target_ and "Local" in launcher._target_:
        return min(_jobs(hydra), sweeper.get("max_batch_size") or _jobs(hydra))
    return 1


def _jobs(hydra: Any) -> int:
    """How many jobs a sweeper hands out at a time."""
    if "optuna" in hydra.sweeper._target_:
        return int(hydra.sweeper.n_jobs)
    parser = OverridesParser.create()
    settings = [
        *(f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()),
        *hydra.overrides.task,
    ]
    values = {}
    try:
        for override in parser.parse_overrides(settings):
            swept = override.is_sweep_override() and override.is_discrete_sweep()
            values[override.get_key_element()] = len(list(override.sweep_string_iterator())) if swept else 1
    except HydraException:  # glob(*) needs the configuration's folders: as many as there is room for
        return os.cpu_count() or 1
    return math.prod(values.values())


def may_start_again(hydra: Any) -> bool:
    """Whether a sweep that a killed worker ended can go on in its folder at once.

    It cannot on a cluster, where its other jobs run on. A search without a storage would try other settings in the
    folders of the first ones.
    """
    launcher, sweeper = hydra.launcher, hydra.sweeper
    kept = "optuna" not in sweeper._target_ or sweeper.storage is not None
    here = "joblib" in launcher._target_ or (
        "Local" in launcher._target_ and str(launcher.submitit_folder).startswith(f"{hydra.sweep.dir}/.submitit/")
    )
    return kept and here
