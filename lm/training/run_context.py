"""The objects of a run that can be passed to callbacks and loggers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from lm.data.vocabulary import Vocab
from lm.runs.checkpoint import Description
from lm.sampling import Sampler
from lm.system.signals import StopRequest


@dataclass(frozen=True)
class RunContext:
    """Objects of a run. A callback or logger in conf/ is given each field here that its class has as an argument."""

    run_dir: str
    save_dir: str  # the same folder, under the name that Lightning's loggers use
    vocab: Vocab
    config: dict[str, Any]
    description: Description  # facts about the run, saved in checkpoints
    stop: StopRequest
    sampler: Sampler
    seed: int
    first_start: bool  # false for a run that resumes in its own folder
    swept: list[str]  # in a sweep, the settings of this job

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]
