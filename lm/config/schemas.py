"""The top level of each command's configuration: which settings there are, of which type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from omegaconf import MISSING

from lm.system.bounds import PROBABILITY, AtLeast, Bounded, Count

PROFILE = "profile"
"""The one setting of the group `trainer` that Lightning's Trainer does not know."""


@dataclass
class TBPTT(Bounded, group="tbptt"):
    """Truncated back-propagation through time: how many windows gradients reach back over, and how windows are cut."""

    windows: Count = 1
    random_length: bool = False
    reset: Annotated[float, PROBABILITY] = 0.0


@dataclass
class Regularisation(Bounded, group="regularisation"):
    """Activation regularisation (Merity et al. 2017): weights of two means of squares that join the training loss.

    `activation` (alpha): of the last layer's output as dropout leaves it. `temporal` (beta): of that output's change
    from one time step to the next, before dropout.
    """

    activation: Annotated[float, AtLeast(0)] = 0.0
    temporal: Annotated[float, AtLeast(0)] = 0.0


@dataclass
class FreeRunningTest(Bounded, group="free_running"):
    """Free-running perplexity of the best checkpoint: `streams` read side by side, the first `limit` windows of each
    split (None: all)."""

    streams: Count = 20
    limit: Count | None = 1000


@dataclass
class TrainConfig:
    """`train.py`: a dictionary for each group of conf/, and the settings that belong to none."""

    data: Any = MISSING
    model: Any = MISSING
    init: Any = MISSING
    forcing: Any = MISSING
    optim: Any = MISSING
    sampler: Any = MISSING
    trainer: Any = MISSING
    accelerator: Any = MISSING
    callbacks: Any = MISSING
    logger: Any = MISSING
    tbptt: TBPTT = field(default_factory=TBPTT)
    regularisation: Regularisation = field(default_factory=Regularisation)
    free_running: FreeRunningTest | None = field(default_factory=FreeRunningTest)
    seed: int = 0
    checkpoint: str | None = None
    weights_from: str | None = None
    dry: bool = False
    trust: list[str] = field(default_factory=list)


@dataclass
class SampleConfig:
    """`scripts/sample.py`."""

    checkpoint: str = MISSING
    sampler: Any = MISSING
    prompt: str | None = None
    prompt_file: str | None = None
    accelerator: Any = MISSING
    seed: int = 0
    trust: list[str] = field(default_factory=list)


@dataclass
class EvaluateConfig:
    """`scripts/evaluate.py`."""

    checkpoint: str = MISSING
    evaluator: Any = MISSING
    split: str = "test"
    text: str | None = None
    text_file: str | None = None
    per_token: str | None = None
    out: str | None = None
    accelerator: Any = MISSING
    dry: bool = False
    trust: list[str] = field(default_factory=list)


@dataclass
class DistanceConfig:
    """`scripts/distance.py`."""

    checkpoint: str = MISSING
    words: list[str] = MISSING
    words_file: str | None = None
    neighbours: int = 5
    out: str | None = None
    trust: list[str] = field(default_factory=list)


@dataclass
class CompareConfig:
    """`scripts/compare.py`."""

    runs: list[str] = MISSING
    out: str = "comparison"
    words: list[str] | None = None
    prompts: list[str] | None = None
    perplexities: list[float] | None = None
    confidence: float = 0.95
    resamples: int = 4000
    sequences: int = 20
    sample_words: int = 100
    frequent: int = 1000
    neighbours: int = 10
    accelerator: Any = MISSING
    seed: int = 0
    trust: list[str] = field(default_factory=list)


@dataclass
class BenchmarkConfig:
    """`scripts/benchmark.py`."""

    sections: list[str] | None = None
    accelerator: Any = MISSING
    dry: bool = False
    rounds: int = 5
    windows: int = 4
    words: int = 50
    sizes: Any = MISSING
    out: str | None = None


def without_profile(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that Lightning's Trainer knows."""
    return {key: value for key, value in trainer.items() if key != PROFILE}


@dataclass
class TBPTTReportConfig:
    """`scripts/tbptt.py`."""

    out: str = MISSING
    checkpoint: str | None = None
    windows: list[int] = MISSING
    lengths: list[int] = MISSING
    streams: list[int] = MISSING
    updates: int = 4
    rounds: int = 3
    reach: int = 120
    places: int = 8
    seed: int = 0
    sizes: Any = MISSING
    accelerator: Any = MISSING
    trust: list[str] = field(default_factory=list)
