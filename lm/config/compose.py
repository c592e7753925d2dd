"""Composes a configuration from conf/ and the overrides of a command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from lm.config.conf_folder import CONF
from lm.config.schemas import SCHEMAS


def composed(root: str, overrides: Sequence[str] = (), with_hydra: bool = False) -> DictConfig:
    """The configuration of conf/`root`.yaml with `overrides`. Raises Hydra's errors.

    It also works inside a running Hydra program. `with_hydra`: include Hydra's own settings, such as a run's folder.
    """
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(root, overrides=list(overrides), return_hydra_config=with_hydra)
    finally:
        GlobalHydra.instance().hydra = running


def default_options(root: str) -> dict[str, str]:
    """The groups of conf/`root`.yaml, each with its default option."""
    defaults: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{root}.yaml"))
    entries = [entry for entry in defaults["defaults"] if isinstance(entry, dict)]
    return {group: option for entry in entries for group, option in entry.items() if (CONF / group).is_dir()}


def register() -> None:
    """Register the schemas with Hydra. The root files of conf/ include them by name, as their first default."""
    for name, schema in SCHEMAS.items():
        ConfigStore.instance().store(name=f"{name}_schema", node=schema)
