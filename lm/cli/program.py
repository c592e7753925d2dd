"""How a command was called, for messages that say what to type next."""

from __future__ import annotations

import sys
from pathlib import Path


def program(command: str) -> str:
    """`python train.py`, `python scripts/sample.py`, or `python -m lm sample` if the program was started that way."""
    if Path(sys.argv[0]).name == "__main__.py":
        return f"python -m lm {command}"
    return "python train.py" if command == "train" else f"python scripts/{command}.py"
