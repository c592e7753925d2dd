"""Finds how the user called a command, for messages that say what to type next."""

from __future__ import annotations

import sys
from pathlib import Path


def program(command: str) -> str:
    """How to call a command: `python scripts/sample.py`, or `python -m lm sample` if this program was started so."""
    if Path(sys.argv[0]).name == "__main__.py":
        return f"python -m lm {command}"
    return "python train.py" if command == "train" else f"python scripts/{command}.py"
