"""Output for the user: progress bars and messages on standard error, results on standard output."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lm.system.log import LOG


class ProgressBar(tqdm):
    """A progress bar whose clock starts at the first update: the time before it says nothing about the time left."""

    n: float

    def update(self, n: float | None = 1) -> Any:
        if self.n:
            return super().update(n)
        self.n = self.initial = self.last_print_n = n or 0
        self.start_t = self.last_print_t = time.time()


def bar(what: str, total: int | None, unit: str = "token") -> ProgressBar:
    """Make a progress bar that appears after two seconds. Without a terminal it is drawn twice a minute.

    Its time left follows from the speed of the latest parts (tqdm's moving average).
    """
    often = 0.1 if sys.stderr.isatty() else 30.0
    return ProgressBar(
        desc=what, total=total, unit=f" {unit}s", leave=False, delay=2, mininterval=often, maxinterval=often,
        dynamic_ncols=True, unit_scale=unit == "byte",
    )  # fmt: skip


def say(line: str) -> None:
    """Write a message to standard error, above any progress bar, and to the log."""
    LOG.info("%s", line)


def say_once(line: str) -> None:
    """Like `say`, but a line that this process has said before goes to the log alone: to that of a sweep's next job."""
    LOG.info("%s", line, extra={"shown": line in SAID})
    SAID.add(line)


SAID: set[str] = set()


def aligned(rows: Sequence[Sequence[str]], columns: str) -> list[str]:
    """Format a table as lines of text. `columns` has one letter for each column: l aligns left, r aligns right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [{"l": str.ljust, "r": str.rjust}[side] for side in columns]
    return [
        "  ".join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def show(text: str, kept: Path) -> None:
    """Write a result to standard output and to the log.

    If standard output cannot be written, a message says that the result is also in `kept`; no error is raised.
    """
    LOG.info("%s", text, extra={"shown": True})
    try:
        print(text, flush=True)
    except OSError as error:
        say(f"cannot write to standard output ({error.strerror}); the result is in {kept}")
        with contextlib.suppress(OSError):  # otherwise Python fails again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def usable_streams() -> None:
    """Make the standard streams accept all output.

    Closed streams discard it. Characters that a stream's encoding lacks are written as escapes.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")
