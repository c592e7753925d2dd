"""Finds the known settings of a command, to suggest a correction for a misspelt one."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lm.config import unknown_key
from lm.config.compose import composed, default_options, register
from lm.config.conf_folder import CONF
from lm.config.nearest_setting import did_you_mean_setting, leaves, meant, similar


def unknown_override(key: str, value: str, root: str) -> str:
    """The error message for a `key` that Hydra could not override in conf/`root`.yaml."""
    config, names = _config(root, sys.argv[1:]), settings_of(root, sys.argv[1:])
    groups, (parent, _, last) = default_options(root), key.rpartition(".")
    top = key.replace("/", ".").partition(".")[0]
    if "/" in key:
        if (CONF / key).is_dir() and top in groups:
            return unknown_key.no_choice_in(key, top)
        return unknown_key.unknown_group(key, _hint(key, value, names, [name for name in names if "/" in name], groups))
    if key in ("experiment", "sweep") and root == "train":
        return unknown_key.wants_plus(key)
    if top == "hydra":
        names = [name for name in leaves(_composed(root, (), with_hydra=True)) if name.startswith("hydra.")]
        return unknown_key.unknown_head(key, key, _hint(key, value, names, ["hydra.run.dir", "hydra.sweep.dir"], []))
    if key in config:
        return unknown_key.has_settings(key, leaves(config[key], f"{key}."))
    if top not in config:
        return unknown_key.unknown_head(key, top, _hint(key, value, names, [*config], groups))
    node = OmegaConf.select(OmegaConf.create(config), parent)
    beside = [name for name in node if name != "_target_"] if isinstance(node, Mapping) else []
    if not beside and (hint := _of_another_option(key, value, [top], exact=True)):
        return unknown_key.unknown_leaf(key, hint)
    if not beside:
        return unknown_key.no_settings_below(key, top)
    near = unknown_key.near(last, beside, cutoff=0.75) is not None
    hint = "" if near else _of_another_option(key, value, [top], exact=True)
    if not near and not hint and (found := meant(last, names)):
        hint = did_you_mean_setting(found, value)
    hint = hint or unknown_key.did_you_mean(last, beside)
    if root == "train" and any(argument.startswith("checkpoint=") for argument in sys.argv[1:]):
        hint += " (Settings stored in a checkpoint cannot change on resume.)"
    return unknown_key.unknown_leaf(key, hint)


def unknown_deletion(key: str, root: str) -> str:
    """The error message for a `~key` that is not there."""
    parts = [name.split(".") for name in settings_of(root, ())]
    names = {".".join(name[:count]) for name in parts for count in range(1, len(name) + 1)}
    hint = f"Did you mean ~{near}?" if (near := unknown_key.near(key, names)) else "See --help"
    return f"~{key}: there is no {key} to remove. {hint}"


def near_settings(name: str, value: str, root: str, typed: Sequence[str]) -> str:
    """The question 'Did you mean optim.lr=0.1?' for a name that is no setting of a command; empty if none is near."""
    names = settings_of(root, typed)
    found = [name] if name in names else meant(name, names) or similar(name, names)
    return did_you_mean_setting(found, value) if found else _of_another_option(name, value, default_options(root))


def option_of(word: str, root: str) -> str | None:
    """The choice `optim=sgd` for `sgd`, `optim/sgd` or `optim.sgd`; None if no group of a command has the option."""
    above, _, option = word.replace(".", "/").rpartition("/")
    own = [*default_options(root), *_with_plus(root)]
    for group in [above] if above else own:
        if group.partition("/")[0] in own and (CONF / group / f"{option}.yaml").is_file():
            return f"{'+' if group in _with_plus(root) else ''}{group}={option}"
    return None


def settings_of(root: str, typed: Sequence[str]) -> list[str]:
    """The names of a command's settings and groups, with the options chosen among the `typed` settings."""
    groups = default_options(root)
    inner = [path.relative_to(CONF).as_posix() for group in groups for path in (CONF / group).iterdir()]
    inner = [name for name in inner if (CONF / name).is_dir()]
    folder = ["hydra.run.dir"] if root == "train" else []
    return [*leaves(_config(root, typed)), *groups, *inner, *_with_plus(root), *folder]


def _with_plus(root: str) -> list[str]:
    return ["experiment", "sweep"] if root == "train" else []


def _hint(key: str, value: str, names: list[str], heads: list[str], groups: Iterable[str]) -> str:
    """The hint for a key whose first part is none of the known `heads`."""
    top = key.partition(".")[0]
    if found := meant(key, names):
        return did_you_mean_setting(found, value)
    if unknown_key.near(top, heads) is None:
        if found := similar(key, names):
            return did_you_mean_setting(found, value)
        if hint := _of_another_option(key, value, groups):
            return hint
    return unknown_key.did_you_mean(top, heads)


def _of_another_option(key: str, value: str, groups: Iterable[str], exact: bool = False) -> str:
    """Which option, not chosen, has a setting of this name (`exact`: of this dotted name); empty if none has.

    'optim=sgd and optim=ntasgd have it: optim=sgd optim.momentum=0.9'
    """
    found: dict[str, list[str]] = {}
    for file in (file for group in groups for file in sorted((CONF / group).rglob("*.yaml"))):
        folder = file.parent.relative_to(CONF).as_posix()
        content: Any = OmegaConf.to_container(OmegaConf.load(file))
        for leaf in leaves(content):
            name = f"{folder.replace('/', '.')}.{leaf}"
            if name == key or (not exact and leaf == key):
                found.setdefault(name, []).append(f"{folder}={file.stem}")
    return "; ".join(
        f"{' and '.join(options)} {'has' if len(options) == 1 else 'have'} it: {options[0]} {name}={value or '...'}"
        for name, options in found.items()
    )


def _config(root: str, typed: Sequence[str]) -> dict[str, Any]:
    """A command's configuration with the options chosen among the `typed` settings, if these options exist."""
    named = [(argument.partition("=")[0].lstrip("+"), argument) for argument in typed]
    chosen = tuple(argument for name, argument in named if name and (CONF / name).is_dir())
    return _composed(root, chosen) or _composed(root, ())


@functools.cache
def _composed(root: str, chosen: tuple[str, ...], with_hydra: bool = False) -> dict[str, Any]:
    """A configuration, to look up names; empty if the `chosen` options do not exist."""
    register()
    try:
        config: Any = OmegaConf.to_container(composed(root, chosen, with_hydra))
        return dict(config)
    except (HydraException, OmegaConfBaseException, ValueError):
        return {}
