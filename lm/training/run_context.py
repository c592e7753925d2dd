"""The objects of a run that callbacks and loggers may ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from lm.data.vocabulary import Vocab
from lm.runs.checkpoint import Description
from lm.sampling import Sampler
from lm.system.signals import StopRequest


@dataclass(frozen=True)
class RunContext:
    """A callback or logger of conf/ whose class takes an argument of one of these names gets the object."""

    run_dir: str
    save_dir: str  # the same folder, by the name that Lightning's loggers have for it
    vocab: Vocab
    config: dict[str, Any]
    description: Description  # what a checkpoint says of the run
    stop: StopRequest
    sampler: Sampler
    seed: int
    first_start: bool  # not a run that resumes in its own folder
    swept: list[str]  # in a sweep, the settings of this job

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]
