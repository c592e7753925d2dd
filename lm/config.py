"""The top level of each command's configuration, and the rules that span several of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import MISSING, DictConfig

from lm.build import check, did_you_mean
from lm.errors import UserError

CONF = Path(__file__).resolve().parent.parent / "conf"


AVAILABLE = ("run_dir", "save_dir", "vocab", "config", "stop", "sampler", "seed", "first_start", "swept")
"""What callbacks and loggers may ask for beside their settings: objects of the run that builds them."""


@dataclass
class TBPTT:
    """Truncated back-propagation through time: how many windows gradients reach back over."""

    windows: int = 1


@dataclass
class TrainConfig:
    """`train.py`: a dictionary for each group of conf/, and the settings that belong to none."""

    data: Any = MISSING
    model: Any = MISSING
    forcing: Any = MISSING
    optim: Any = MISSING
    sampler: Any = MISSING
    trainer: Any = MISSING
    accelerator: Any = MISSING
    callbacks: Any = MISSING
    logger: Any = MISSING
    tbptt: TBPTT = field(default_factory=TBPTT)
    seed: int = 0
    checkpoint: str | None = None


@dataclass
class SampleConfig:
    """`scripts/sample.py`."""

    checkpoint: str = MISSING
    sampler: Any = MISSING
    prompt: str | None = None
    prompt_file: str | None = None
    accelerator: Any = MISSING
    seed: int = 0


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


@dataclass
class DistanceConfig:
    """`scripts/distance.py`."""

    checkpoint: str = MISSING
    words: list[str] = MISSING
    words_file: str | None = None
    neighbours: int = 5
    out: str | None = None


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
    ):
        store.store(name=name, node=node)


def validate(config: Mapping[str, Any]) -> None:
    """Rules that span several parts of a training configuration. Raises UserError for the first one broken."""
    known = [*TrainConfig.__dataclass_fields__]
    for key in config:
        if key not in known:
            raise UserError(f"{key}: there is no such group or setting. {did_you_mean(key, known)}")
    windows = config["tbptt"]["windows"]
    if windows < 1:
        raise UserError(f"tbptt.windows must be at least 1; got {windows}")
    if windows > 1 and config["forcing"].get("update") == "token":
        raise UserError(
            f"tbptt.windows={windows} keeps gradients over several windows, forcing.update=token cuts them at each "
            "token: choose forcing.update=window, or tbptt.windows=1"
        )
    if config["seed"] < 0:
        raise UserError(f"seed must be 0 or more; got {config['seed']}")
    for key in ("max_epochs", "log_every_n_steps"):
        value = config["trainer"].get(key)
        if isinstance(value, int) and value < 1:
            raise UserError(f"trainer.{key} must be at least 1; got {value}")
    for group in ("data", "model", "forcing", "optim", "sampler"):
        check(config[group], group, ["vocab_size"])
    for group in ("callbacks", "logger"):
        for name, node in config[group].items():
            if node is not None:
                check(node, f"{group}.{name}", AVAILABLE)
    check(config["trainer"], "trainer", ("callbacks", "logger", "default_root_dir", "enable_progress_bar"))
