"""What Hydra knows about the current job, if there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf

from lm.system.bounds import annotations_of, check_bounds


def checked(cfg: DictConfig) -> dict[str, Any]:
    """A command's configuration as plain containers. Raises UserError for one of its own settings out of bounds.

    Missing values stay `???`.
    """
    values: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    check_bounds("", annotations_of(OmegaConf.get_type(cfg)), values)
    return values


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain containers; a group that was removed (`~logger`) becomes an empty one."""
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    return {**config, **{group: {} for group in ("callbacks", "logger") if config.get(group) in (None, MISSING)}}


def sweeping() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def typed_overrides() -> list[str]:
    """The settings of this job as typed; in a sweep, with this job's values."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def output_folder() -> Path:
    """The folder for this job's files."""
    return Path(HydraConfig.get().runtime.output_dir)
