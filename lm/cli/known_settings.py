"""Finds the known settings, to suggest a correction for a misspelt one."""

from __future__ import annotations

import sys

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lm.config import unknown_key
from lm.config.compose import composed
from lm.config.conf_folder import CONF


def unknown_override(key: str, root: str) -> str:
    """The error message for a `key` that Hydra could not override in conf/`root`.yaml."""
    top = key.replace("/", ".").partition(".")[0]
    if "/" in key and (CONF / key).is_dir():
        return unknown_key.no_choice_in(key, top)
    if "/" in key:
        return unknown_key.unknown_group(
            key, [str(path.relative_to(CONF)) for path in CONF.glob("*/*") if path.is_dir()]
        )
    if key in ("experiment", "sweep"):
        return unknown_key.wants_plus(key)
    heads = _keys(root, "")
    if top not in heads:
        return unknown_key.unknown_head(key, top, [*heads, *_groups()])
    known = _keys(root, key.rpartition(".")[0])
    if not known:
        return unknown_key.no_settings_below(key, top)
    resuming = root == "train" and any(argument.startswith("checkpoint=") for argument in sys.argv[1:])
    return unknown_key.unknown_leaf(key, known, resuming)


def unparsable(argument: str) -> str:
    """The error message for an argument that is not of the form `setting=value`."""
    experiments = [path.stem for path in (CONF / "experiment").glob("*.yaml")]
    if argument in experiments:
        return f"{argument}: did you mean +experiment={argument}?"
    return (
        f"{argument}: cannot be read as a setting; write key=value, and quote a value with spaces, commas or brackets: "
        "'key=\"a, b\"'"
    )


def _groups() -> list[str]:
    return [path.name for path in CONF.iterdir() if path.is_dir()]


def _keys(root: str, parent: str) -> list[str]:
    """The names of the settings below `parent`, for the options chosen on the command line, if these options exist."""
    groups = _groups()
    chosen = [argument for argument in sys.argv[1:] if argument.split("=")[0].lstrip("+") in groups]
    for overrides in (chosen, []):
        try:
            config = composed(root, overrides)
            node = OmegaConf.select(config, parent) if parent else config
            names = [str(name) for name in node] if isinstance(node, DictConfig) else []
            return [name for name in names if name != "_target_"]
        except (HydraException, OmegaConfBaseException):
            continue
    return groups
