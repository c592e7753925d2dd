"""What a person is told while something takes long: bars and lines on standard error."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def bar(what: str, total: int, unit: str = "token") -> tqdm[Any]:
    """A bar from the third second on; where there is no terminal it is drawn twice a minute."""
    often = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(
        desc=what, total=total, unit=f" {unit}s", leave=False, delay=2, mininterval=often, maxinterval=often,
        dynamic_ncols=True,
    )  # fmt: skip


def say(line: str) -> None:
    """A line for the person, above a bar and never on standard output."""
    tqdm.write(line, file=sys.stderr)
