"""Finds how the user called a command, for messages that say what to type next: each line works when it is pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def program(command: str) -> str:
    """How to call a command: `python scripts/sample.py`, or `python -m lm sample` if this program was not a script."""
    own = Path(sys.argv[0])
    if own.name == "train.py":
        scripts = own.parent
    elif own.parent.name == "scripts":
        scripts = own.parent.parent
    else:
        return f"{_interpreter()} -m lm {command}"
    return f"{_interpreter()} {_typed(scripts / ('train.py' if command == 'train' else f'scripts/{command}.py'))}"


def beside_python(tool: str) -> str:
    """How to call a program that was installed with this Python, such as tensorboard."""
    there = shutil.which(tool, path=str(Path(sys.executable).parent))
    return tool if there is None or there == shutil.which(tool) else _typed(there)


def shown_path(path: str | Path) -> str:
    """A path as it is shortest to type: relative to the present folder if it lies there. Not quoted."""
    path, here = os.path.abspath(path), os.getcwd()
    return os.path.relpath(path) if path.startswith(here + os.sep) else path


def _interpreter() -> str:
    """`python` if that starts this Python, else its path."""
    return "python" if shutil.which("python") in (sys.executable, None) else _typed(sys.executable)


def _typed(path: str | Path) -> str:
    return shlex.quote(shown_path(path))
