"""Decides which code a checkpoint may run: code that is named in conf/, and code that the user trusts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lm.config.build import TARGET
from lm.config.conf_folder import CONF
from lm.system.errors import UserError


def refuse_foreign(node: Any, path: str, trusted: Collection[str] = (), typed: Any = None) -> None:
    """Raise UserError for code named in a checkpoint's configuration but not in conf/, for the same group.

    A checkpoint is data and must not choose what code runs.

    Args:
        node: a part of the checkpoint's configuration.
        path: the place of `node` in the configuration.
        trusted: names of code that may run although it is not named in conf/.
        typed: the same part of the configuration from the command line; code named there in the same place may run.
    """
    typed = dict(_targets(typed, path))
    for where, name in _targets(node, path):
        if name not in trusted and name != typed.get(where) and name not in shipped_targets(path.partition(".")[0]):
            raise UserError(
                f"checkpoint: its {where} asks to run {name}, which conf/ does not know; it is not run. If you trust "
                f"it, say so: trust=[{name}] (in Python: trusted=[{name!r}])"
            )


def foreign(config: Mapping[str, Any]) -> list[str]:
    """All code named in a configuration but not in conf/, without repetitions."""
    found = [(part, name) for part, node in config.items() for _, name in _targets(node, part)]
    return list(dict.fromkeys(name for part, name in found if name not in shipped_targets(part)))


def shipped_targets(group: str) -> set[str]:
    """Every class and function named in the files of conf/`group`."""
    files = (CONF / group).rglob("*.yaml")
    return {name for file in files for name in re.findall(rf"{TARGET}:\s*(\S+)", file.read_text(encoding="utf-8"))}


def _targets(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yields the place and the name of each class or function named in a configuration."""
    if isinstance(node, Mapping):
        if node.get(TARGET) is not None:
            yield path, str(node[TARGET])
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}")
