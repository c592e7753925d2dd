"""What a person sees: bars and lines on standard error while something takes long, a result on standard output."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lm.system.log import LOG


def bar(what: str, total: int, unit: str = "token") -> tqdm[Any]:
    """A bar from the third second on; where there is no terminal it is drawn twice a minute."""
    often = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(
        desc=what, total=total, unit=f" {unit}s", leave=False, delay=2, mininterval=often, maxinterval=often,
        dynamic_ncols=True,
    )  # fmt: skip


def say(line: str) -> None:
    """A line for the person and the log: above a bar, never on standard output."""
    LOG.info("%s", line)


def aligned(rows: Sequence[Sequence[str]], columns: str) -> list[str]:
    """Rows of cells as lines; `columns`: l(eft) or r(ight) for each, as LaTeX has it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [{"l": str.ljust, "r": str.rjust}[side] for side in columns]
    return [
        "  ".join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def show(text: str, kept: Path) -> None:
    """A result, on standard output and in the log.

    `kept`: where else it is, said where standard output cannot be written; the work itself is done.
    """
    LOG.info("%s", text, extra={"shown": True})
    try:
        print(text, flush=True)
    except OSError as error:
        say(f"standard output cannot be written ({error.strerror}); what was to be shown is in {kept}")
        with contextlib.suppress(OSError):  # else Python fails once more on its way out
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def usable_streams() -> None:
    """Standard streams that take every character: closed ones lead nowhere, a poor encoding gets escapes."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")
