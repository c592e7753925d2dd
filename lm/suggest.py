"""What a misspelt setting was meant to be."""

from __future__ import annotations

import sys

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lm.build import did_you_mean
from lm.config import CONF, composed


def unknown_override(key: str) -> str:
    """A sentence about a `key` that Hydra could not override."""
    root = _root_file()
    top = key.replace("/", ".").partition(".")[0]
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    if "/" in key and (CONF / key).is_dir():
        return f"{key}: the chosen {top} has nothing there to choose; another option of {top} may (see --help)"
    if "/" in key:
        nested = [str(path.relative_to(CONF)) for path in CONF.glob("*/*") if path.is_dir()]
        return f"{key}: there is no such group. {did_you_mean(key, nested)}"
    if key in ("experiment", "sweep"):
        return f"{key}: write it with a plus: +{key}=NAME"
    heads = _keys(root, "")
    if top not in heads:
        return f"{key}: there is no group or setting {top}. {did_you_mean(top, [*heads, *groups])}"
    parent, _, last = key.rpartition(".")
    known = _keys(root, parent)
    if not known:
        return f"{key}: {parent} has no settings as it is chosen here; another option of {top} may (see --help)"
    hint = did_you_mean(last, known)
    if root == "train" and any(argument.startswith("checkpoint=") for argument in sys.argv[1:]):
        hint += " (What a saved run chose in a group cannot be changed when it goes on.)"
    return f"{key}: there is no setting {last}{f' of {parent}' if parent else ''}. {hint}"


def unparsable(argument: str) -> str:
    """A sentence about an argument that is no override."""
    experiments = [path.stem for path in (CONF / "experiment").glob("*.yaml")]
    if argument in experiments:
        return f"{argument}: did you mean +experiment={argument}?"
    return (
        f"{argument}: cannot be read as a setting; write key=value, and in quotes what has spaces, commas or brackets: "
        "'key=\"a, b\"'"
    )


def _root_file() -> str:
    name = sys.argv[0].rsplit("/", 1)[-1].removesuffix(".py")
    return name if (CONF / f"{name}.yaml").is_file() else "train"


def _keys(root: str, parent: str) -> list[str]:
    """The settings below `parent`, with the groups' options as chosen on the command line where those exist."""
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
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
