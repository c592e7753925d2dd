"""Reads the configuration, the typed settings and the output folder of the current Hydra job."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf

from lm.config.build import TARGET, check
from lm.config.nearest_setting import did_you_mean_setting, leaves, meant
from lm.config.schemas import Accelerator
from lm.config.unknown_key import did_you_mean, near, unknown_setting
from lm.system.bounds import annotations_of, check_bounds
from lm.system.errors import UserError


def containers(node: DictConfig) -> dict[str, Any]:
    """A configuration, or a part of it, as plain dictionaries and lists. Missing values stay `???`."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))


def checked(cfg: DictConfig) -> dict[str, Any]:
    """A command's configuration as plain dictionaries and lists. Missing values stay `???`.

    Raises UserError for a key that the command does not know, and if a setting that belongs to the command itself, not
    to a group, is out of bounds.
    """
    refuse_unknown_keys(cfg)
    values = containers(cfg)
    check_bounds("", annotations_of(OmegaConf.get_type(cfg)), values)
    return values


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain dictionaries and lists. A removed group (`~logger`) becomes an empty dictionary.

    Raises UserError for a key that the command does not know.
    """
    refuse_unknown_keys(cfg)
    config = containers(cfg)
    return {**config, **{group: {} for group in ("callbacks", "logger") if config.get(group) in (None, MISSING)}}


def refuse_unknown_keys(cfg: DictConfig) -> None:
    """Raise UserError for a key that a command does not have; with a plus sign Hydra accepts any key.

    `lm.config.build` does the same for the settings of the classes and functions that it builds.
    """
    _refuse_unknown("", cfg, list(leaves(containers(cfg))))
    known = [field.name for field in fields(Accelerator)]
    for key in cfg.get("accelerator", ()):
        if key not in known:
            raise UserError(unknown_setting("accelerator", str(key), known))
    if "accelerator" in cfg:
        check({TARGET: f"{Accelerator.__module__}.Accelerator", **containers(cfg.accelerator)}, "accelerator", [])


def _refuse_unknown(path: str, node: DictConfig, names: list[str]) -> None:
    """Refuse keys that are not fields of the dataclass that describes `node`, also in the parts of `node`."""
    schema: Any = OmegaConf.get_type(node)
    known = [field.name for field in fields(schema)]
    for key in map(str, node):
        inner = f"{path}.{key}" if path else key
        if key not in known:
            found = meant(inner, [name for name in names if name.partition(".")[0] in known])
            if not found and path and (beside := near(key, known)):
                found = [f"{path}.{beside}"]
            hint = did_you_mean_setting(found) if found else did_you_mean(key, known)
            raise UserError(f"{inner}: there is no such group or setting. {hint}")
        if is_dataclass(OmegaConf.get_type(node, key)):
            _refuse_unknown(inner, node[key], names)


def sweeping() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def typed_overrides() -> list[str]:
    """This job's settings as typed on the command line; in a sweep, with the values of this job."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def output_folder() -> Path:
    """The folder to which this job writes its files."""
    return Path(HydraConfig.get().runtime.output_dir)


def job_number() -> int:
    """The number of this job in its sweep; 0 outside a sweep."""
    return int(HydraConfig.get().job.num) if sweeping() else 0
