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
    parent, _, last = key.rpartition(".")
    known = _keys(root, parent)
    where = f" of {parent}" if parent else ""
    return f"{key}: there is no setting {last}{where}. {did_you_mean(last, known)}"


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
            return [*names, *groups] if not parent else [name for name in names if name != "_target_"]
        except (HydraException, OmegaConfBaseException):
            continue
    return groups
