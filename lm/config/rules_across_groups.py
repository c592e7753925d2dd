"""Rules about settings from several groups of a training configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import MISSING

from lm.config.build import TARGET, check
from lm.config.schemas import PROFILE, TBPTT, Accelerator, FreeRunningTest, Regularisation, TrainConfig, without_profile
from lm.config.unknown_key import unknown_top
from lm.system.bounds import annotations_of, check_bounds
from lm.system.errors import UserError

RANDOM = "lm.models.initial.Random"

UNSUPPORTED = {
    "val_check_interval": "validation runs at the end of an epoch; see trainer.check_val_every_n_epoch",
    "num_sanity_val_steps": "a validation before training would count as the first one",
    "gradient_clip_val": "set optim.clip",
    "accumulate_grad_batches": "see tbptt.windows for one update over several windows",
    "max_steps": "set trainer.max_epochs and trainer.limit_train_batches",
    "num_nodes": "set accelerator.nodes",
}
"""Settings of Lightning's Trainer that this program does not support, each with what to do instead."""


def check_rules(config: Mapping[str, Any], available: Iterable[str]) -> None:
    """Raise UserError for the first rule that a training configuration breaks.

    `available`: names of the objects that callbacks and loggers can get in addition to their settings.
    """
    every_part_is_known_and_there(config)
    token_updates_stand_alone(config)
    check_bounds("", annotations_of(TrainConfig), config)
    weights_come_from_one_place(config)
    trainer_is_one_that_is_supported(config)
    if config.get("free_running"):
        FreeRunningTest(**config["free_running"])
    for group in ("data", "model", "init", "forcing", "optim", "sampler"):
        check(config[group], group, ["vocab"] if group == "data" else ["vocab_size"])
    for group in ("callbacks", "logger"):
        for name, node in config[group].items():
            if node is not None:
                check(node, f"{group}.{name}", available)
    trainer = ("callbacks", "logger", "default_root_dir", "enable_progress_bar")
    check(without_profile(config["trainer"]), "trainer", trainer)


def every_part_is_known_and_there(config: Mapping[str, Any]) -> None:
    known = [*TrainConfig.__dataclass_fields__]
    for key in config:
        if key not in known:
            raise UserError(unknown_top(key, known))
    for key in ("data", "model", "init", "forcing", "optim", "sampler", "trainer", "accelerator", "tbptt", "seed"):
        if config.get(key) in (None, MISSING):
            raise UserError(f"{key} is missing; keep its default, or choose a value: see python train.py --help")


def token_updates_stand_alone(config: Mapping[str, Any]) -> None:
    """Raise UserError for settings that need the loss of a window, if weights are updated at each token instead."""
    tbptt, regularisation = TBPTT(**config["tbptt"]), Regularisation(**config.get("regularisation", {}))
    if config["forcing"].get("update") != "token":
        return
    for off, said in (
        (tbptt.windows == 1, f"tbptt.windows={tbptt.windows} keeps gradients over several windows"),
        (not tbptt.random_length, "tbptt.random_length=true scales a window's learning rate by its length"),
        (regularisation == Regularisation(), "regularisation needs the outputs of a whole window"),
    ):
        if not off:
            raise UserError(
                f"{said}, but forcing.update=token updates at each token: choose forcing.update=window, or remove the "
                "other setting"
            )


def weights_come_from_one_place(config: Mapping[str, Any]) -> None:
    if config.get("weights_from") == "":  # not `???`, which would keep the null of conf/train.yaml
        raise UserError("weights_from is missing; name a checkpoint file or a run's folder: weights_from=PATH")
    if config.get("weights_from") and config["init"].get(TARGET) != RANDOM:
        raise UserError("weights_from copies all weights, so leave init at its default: init=random")


def trainer_is_one_that_is_supported(config: Mapping[str, Any]) -> None:
    trainer = config["trainer"]
    for key, remedy in UNSUPPORTED.items():
        if key in trainer:
            raise UserError(f"trainer.{key} is not supported here: {remedy}")
    devices = config["accelerator"].get("devices", 1)
    if devices != "auto" and not (isinstance(devices, int) and devices >= 1):
        raise UserError(
            f"accelerator.devices must be a number of devices or auto; got {devices}. CUDA_VISIBLE_DEVICES=1 before "
            "the command chooses the second card"
        )
    strategy = config["accelerator"].get("strategy", "auto")
    if Accelerator(**config["accelerator"]).data_parallel and strategy not in ("auto", "ddp"):
        raise UserError(f"accelerator.strategy={strategy} is for one device; several devices need ddp")
    if trainer.get("limit_train_batches") == 0:
        raise UserError("trainer.limit_train_batches must be above 0; got 0: there would be nothing to train on")
    if trainer.get("max_epochs") is None:
        raise UserError(
            "trainer.max_epochs must be a number, schedules need it; trainer.max_time can end a run earlier"
        )
    for key in ("max_epochs", "log_every_n_steps", "check_val_every_n_epoch"):
        value = trainer.get(key)
        if isinstance(value, int) and value < 1:
            raise UserError(f"trainer.{key} must be at least 1; got {value}")
    if not isinstance(trainer.get(PROFILE, False), bool):
        raise UserError(f"trainer.{PROFILE} must be true or false; got {trainer[PROFILE]!r}")
