"""Reads the configuration, the typed settings and the output folder of the current Hydra job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf

from lm.system.bounds import annotations_of, check_bounds


def containers(node: DictConfig) -> dict[str, Any]:
    """A configuration, or a part of it, as plain dictionaries and lists. Missing values stay `???`."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))


def checked(cfg: DictConfig) -> dict[str, Any]:
    """A command's configuration as plain dictionaries and lists. Missing values stay `???`.

    Raises UserError if a setting that belongs to the command itself, not to a group, is out of bounds.
    """
    values = containers(cfg)
    check_bounds("", annotations_of(OmegaConf.get_type(cfg)), values)
    return values


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain dictionaries and lists. A removed group (`~logger`) becomes an empty dictionary."""
    config = containers(cfg)
    return {**config, **{group: {} for group in ("callbacks", "logger") if config.get(group) in (None, MISSING)}}


def sweeping() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def typed_overrides() -> list[str]:
    """This job's settings as typed on the command line; in a sweep, with the values of this job."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def output_folder() -> Path:
    """The folder to which this job writes its files."""
    return Path(HydraConfig.get().runtime.output_dir)
