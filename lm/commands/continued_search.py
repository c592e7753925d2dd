"""A search with Optuna that is started again goes on where it stood, if it has a storage."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write

from lm.system.errors import UserError
from lm.system.files import claimed
from lm.system.terminal import say

HELD = "LM_SEARCH_HELD"
"""The search whose folder this process has locked."""


class ContinuedSearch(Callback):
    """Before a search with `hydra/sweeper=optuna`, counts the finished trials, and puts unfinished ones first again.

    Optuna itself would run `n_trials` more at each start, and forget trials that were running when it was killed.
    """

    def __init__(self) -> None:
        self._held = ExitStack()  # the lock of the search's folder

    def __getstate__(self) -> dict[str, Any]:
        return {"_held": None}  # jobs in other processes do not need it

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        sweeper, folder = config.hydra.sweeper, Path(config.hydra.sweep.dir)
        if "optuna" not in sweeper._target_ or sweeper.storage is None:
            return
        try:
            self._held.enter_context(claimed(folder))
        except UserError:
            if os.environ.get(HELD) != str(folder):  # else an earlier start of this process holds it
                say(f"another search runs in {folder}: this one adds {sweeper.n_trials} trials to it")
                return
        os.environ[HELD] = str(folder)
        begun, finished = resume(str(sweeper.storage), sweeper.study_name)
        with read_write(config), open_dict(config):
            sweeper.n_trials = max(0, sweeper.n_trials - finished)
            if sweeper.sampler.get("seed") is not None:
                sweeper.sampler.seed += begun  # else it would propose the same trials again
        if finished:
            say(f"the search in {sweeper.storage} has {finished} finished trials; {sweeper.n_trials} are left")

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        self._held.close()
        os.environ.pop(HELD, None)


def resume(storage: str, study_name: str | None) -> tuple[int, int]:
    """Queue a study's unfinished trials again, and return how many were begun, and how many are finished."""
    import optuna

    optuna.logging.set_verbosity(logging.WARNING)
    try:
        study = optuna.load_study(study_name=study_name, storage=storage)
    except (KeyError, ValueError):  # a new one
        return 0, 0
    state = optuna.trial.TrialState
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for trial in study.get_trials(states=(state.RUNNING,)):
            study.tell(trial.number, state=state.FAIL)
            study.enqueue_trial(trial.params)
    return len(study.trials), len(study.get_trials(states=(state.COMPLETE,)))
