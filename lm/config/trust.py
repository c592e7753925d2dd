"""Which code a checkpoint may choose to run: what conf/ names, and what its user trusts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lm.config.build import TARGET
from lm.config.conf_folder import CONF
from lm.system.errors import UserError


def refuse_foreign(node: Any, path: str, trusted: Collection[str] = (), typed: Any = None) -> None:
    """Raise UserError if a configuration out of a checkpoint names code that conf/ does not name in that group.

    A checkpoint is data: it must not be able to choose what runs. What is `trusted` may, and what the command line says
    itself in the same place (`typed`, that part of its configuration).
    """
    typed = dict(_targets(typed, path))
    for where, name in _targets(node, path):
        if name not in trusted and name != typed.get(where) and name not in shipped_targets(path.partition(".")[0]):
            raise UserError(
                f"checkpoint: its {where} asks to run {name}, which conf/ does not know; it is not run. If you trust "
                f"it, say so: trust=[{name}] (in Python: trusted=[{name!r}])"
            )


def foreign(config: Mapping[str, Any]) -> list[str]:
    """What a configuration names that conf/ does not know, each once."""
    found = [(part, name) for part, node in config.items() for _, name in _targets(node, part)]
    return list(dict.fromkeys(name for part, name in found if name not in shipped_targets(part)))


def shipped_targets(group: str) -> set[str]:
    """Every class and function that the files of conf/`group` name."""
    files = (CONF / group).rglob("*.yaml")
    return {name for file in files for name in re.findall(rf"{TARGET}:\s*(\S+)", file.read_text(encoding="utf-8"))}


def _targets(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Where in a configuration code is named, and which."""
    if isinstance(node, Mapping):
        if node.get(TARGET) is not None:
            yield path, str(node[TARGET])
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}")
