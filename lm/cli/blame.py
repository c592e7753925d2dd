"""Finds whose code raised an exception: this project's, the user's own, or a library's."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Collection, Iterator
from pathlib import Path

from lm.config.conf_folder import PACKAGE

STANDARD = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
INSTALLED = {"site-packages", "dist-packages"}
ENTRY = Path(__file__).resolve().with_name("command.py")
"""Every command, and Hydra, is called from this file, so it says nothing about whose code ran."""


def foreign_place(error: BaseException, chosen: Collection[str] = ()) -> str | None:
    """Where the user's own code raised an exception; None if it comes from this project or from a library.

    `chosen` names the classes and functions that the user's configuration adds to this project's. Code in their
    modules counts as the user's own, also if it is an installed library's.
    """
    for module, file, line in _innermost_first(error):
        for name in chosen:
            if f"{module}.".startswith(f"{name.rpartition('.')[0]}."):
                return f"{name}: {file}, line {line}"
        if not _is_library(file):
            return None if PACKAGE in file.parents else f"{file}, line {line}"
    return None


def is_ours(error: BaseException) -> bool:
    """Whether this project's code was running, or a library that it called; false if only Hydra was."""
    return any(PACKAGE in file.parents for _, file, _ in _innermost_first(error))


def _innermost_first(error: BaseException) -> Iterator[tuple[str, Path, int]]:
    """Module, file and line of each place in the error's stack trace."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = Path(frame.f_code.co_filename).resolve()
        if file.is_file() and file != ENTRY:
            yield str(frame.f_globals.get("__name__")), file, line


def _is_library(file: Path) -> bool:
    if PACKAGE in file.parents:  # also where this project is itself installed
        return False
    return bool(INSTALLED & set(file.parts)) or any(folder in file.parents for folder in STANDARD)
