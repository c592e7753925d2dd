"""The top level of each command's configuration, and the rules that span several of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import MISSING, DictConfig

from lm.build import CONF, TARGET, check, did_you_mean
from lm.errors import UserError
from lm.regularisation import Regularisation

AVAILABLE = ("run_dir", "save_dir", "vocab", "config", "stop", "sampler", "seed", "first_start", "swept")
"""What callbacks and loggers may ask for beside their settings: objects of the run that builds them."""


UNSUPPORTED = {
    "val_check_interval": "validation stands at the end of an epoch; see trainer.check_val_every_n_epoch",
    "num_sanity_val_steps": "a validation before training would count as the first one",
    "gradient_clip_val": "set optim.clip",
    "accumulate_grad_batches": "see tbptt.windows for one update over several windows",
    "max_steps": "set trainer.max_epochs and trainer.limit_train_batches",
}
"""Settings of Lightning's Trainer that would mean something else here, and what to do instead."""

PROFILE = "profile"
"""The one setting of the group `trainer` that Lightning's Trainer does not know."""


@dataclass
class TBPTT:
    """Truncated back-propagation through time: how many windows gradients reach back over, and how windows are cut."""

    windows: int = 1
    random_length: bool = False
    reset: float = 0.0

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise UserError(f"tbptt.windows must be at least 1; got {self.windows}")
        if not 0 <= self.reset <= 1:
            raise UserError(f"tbptt.reset is a probability, between 0 and 1; got {self.reset}")


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
    seed: int = 0
    checkpoint: str | None = None
    weights_from: str | None = None
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

    sections: list[str] = MISSING
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


def composed(root: str, overrides: Sequence[str] = ()) -> DictConfig:
    """What conf/`root`.yaml and `overrides` give, also from inside a Hydra program. Raises Hydra's errors."""
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(root, overrides=list(overrides))
    finally:
        GlobalHydra.instance().hydra = running


def register() -> None:
    """Make the schemas known to Hydra under the names that the root files of conf/ list first."""
    store = ConfigStore.instance()
    for name, node in (
        ("train_schema", TrainConfig),
        ("sample_schema", SampleConfig),
        ("evaluate_schema", EvaluateConfig),
        ("distance_schema", DistanceConfig),
        ("compare_schema", CompareConfig),
        ("benchmark_schema", BenchmarkConfig),
        ("tbptt_schema", TBPTTReportConfig),
    ):
        store.store(name=name, node=node)


def validate(config: Mapping[str, Any]) -> None:
    """Rules that span several parts of a training configuration. Raises UserError for the first one broken."""
    known = [*TrainConfig.__dataclass_fields__]
    for key in config:
        if key not in known:
            raise UserError(f"{key}: there is no such group or setting. {did_you_mean(key, known)}")
    for key in ("data", "model", "init", "forcing", "optim", "sampler", "trainer", "accelerator", "tbptt", "seed"):
        if config.get(key) in (None, MISSING):
            raise UserError(f"{key} is missing; leave it as it is by default, or choose: python train.py --help")
    tbptt, regularisation = TBPTT(**config["tbptt"]), Regularisation(**config.get("regularisation", {}))
    if config["forcing"].get("update") == "token":
        for off, said in (
            (tbptt.windows == 1, f"tbptt.windows={tbptt.windows} keeps gradients over several windows"),
            (not tbptt.random_length, "tbptt.random_length=true sets a window's rate by its length"),
            (regularisation == Regularisation(), "regularisation looks at the outputs of a whole window"),
        ):
            if not off:
                raise UserError(
                    f"{said}, forcing.update=token updates at each token: choose forcing.update=window, or leave the "
                    "other one out"
                )
    if not 0 <= config["seed"] < 2**32:
        raise UserError(f"seed must be between 0 and {2**32 - 1}; got {config['seed']}")
    if config.get("weights_from") == "":  # not `???`, which leaves the null of conf/train.yaml in force
        raise UserError("weights_from is missing; name a checkpoint file or a run's folder: weights_from=PATH")
    if config.get("weights_from") and config["init"].get(TARGET) != "lm.init.Random":
        raise UserError("weights_from brings all weights along, nothing is left for init to set: choose init=random")
    nodes = config["trainer"].get("num_nodes", 1)
    for key, remedy in UNSUPPORTED.items():
        if key in config["trainer"]:
            raise UserError(f"trainer.{key} is not supported here: {remedy}")
    for key, value in (("accelerator.devices", config["accelerator"].get("devices")), ("trainer.num_nodes", nodes)):
        if str(value) != "1":
            raise UserError(
                f"{key} must be 1; got {value}: a run uses one device. CUDA_VISIBLE_DEVICES=1 in front of the command "
                "chooses the second card"
            )
    if config["trainer"].get("limit_train_batches") == 0:
        raise UserError("trainer.limit_train_batches must be above 0; got 0: there would be nothing to train on")
    if config["trainer"].get("max_epochs") is None:
        raise UserError("trainer.max_epochs must be a number, schedules go by it; trainer.max_time may end it earlier")
    for key in ("max_epochs", "log_every_n_steps", "check_val_every_n_epoch"):
        value = config["trainer"].get(key)
        if isinstance(value, int) and value < 1:
            raise UserError(f"trainer.{key} must be at least 1; got {value}")
    for group in ("data", "model", "init", "forcing", "optim", "sampler"):
        check(config[group], group, ["vocab_size"])
    for group in ("callbacks", "logger"):
        for name, node in config[group].items():
            if node is not None:
                check(node, f"{group}.{name}", AVAILABLE)
    if not isinstance(config["trainer"].get(PROFILE, False), bool):
        raise UserError(f"trainer.{PROFILE} must be true or false; got {config['trainer'][PROFILE]!r}")
    check(
        without_profile(config["trainer"]),
        "trainer",
        ("callbacks", "logger", "default_root_dir", "enable_progress_bar"),
    )
