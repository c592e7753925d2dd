"""Which code a checkpoint may run: what conf/ names, and what the user trusts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lm.config.build import TARGET
from lm.config.conf_folder import CONF
from lm.system.errors import UserError


def refuse_foreign(node: Any, path: str, trusted: Collection[str] = (), typed: Any = None) -> None:
    """Raise UserError if a configuration from a checkpoint names code that conf/ does not name in that group.

    A checkpoint is data and must not choose what code runs.

    Args:
        node: a part of the checkpoint's configuration.
        path: the place of `node` in the configuration.
        trusted: names of code that may run although conf/ does not name it.
        typed: the same part of the command line's configuration; code that it names in the same place may run.
    """
    typed = dict(_targets(typed, path))
    for where, name in _targets(node, path):
        if name not in trusted and name != typed.get(where) and name not in shipped_targets(path.partition(".")[0]):
            raise UserError(
                f"checkpoint: its {where} asks to run {name}, which conf/ does not know; it is not run. If you trust "
                f"it, say so: trust=[{name}] (in Python: trusted=[{name!r}])"
            )


def foreign(config: Mapping[str, Any]) -> list[str]:
    """The names of code in a configuration that conf/ does not name, each once."""
    found = [(part, name) for part, node in config.items() for _, name in _targets(node, part)]
    return list(dict.fromkeys(name for part, name in found if name not in shipped_targets(part)))


def shipped_targets(group: str) -> set[str]:
    """Every class and function that the files of conf/`group` name."""
    files = (CONF / group).rglob("*.yaml")
    return {name for file in files for name in re.findall(rf"{TARGET}:\s*(\S+)", file.read_text(encoding="utf-8"))}


def _targets(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each place in a configuration that names code, and the name."""
    if isinstance(node, Mapping):
        if node.get(TARGET) is not None:
            yield path, str(node[TARGET])
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}")
