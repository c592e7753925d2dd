"""The log: messages go to the terminal, above the progress bars, and to the log file if there is one.

Hydra opens the log file (`train.log` in a run's folder) and adds it to Python's root logger. Warnings are logged too.
"""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

LOG = logging.getLogger("lm")
OURS = str(Path(__file__).resolve().parent.parent)


class AboveBars(logging.Handler):
    """A log handler that writes each message to standard error, on its own line above the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "shown", False):  # already on standard output
            return
        try:
            tqdm.write(fitted(self.format(record)), file=sys.stderr)
        except OSError:  # standard error is closed: nobody reads it
            pass
        except Exception:
            self.handleError(record)


def fitted(message: str) -> str:
    """A warning, broken between words to the width of the terminal; anything else, commands too, as it is."""
    if not message.startswith("warning: ") or not sys.stderr.isatty():
        return message
    width = shutil.get_terminal_size().columns - 1
    return textwrap.fill(message, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


LOG.setLevel(logging.INFO)
if not any(isinstance(handler, AboveBars) for handler in LOG.handlers):
    LOG.addHandler(AboveBars())


def log_warnings() -> None:
    """Send Python's warnings to the log from now on."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        where = "" if filename.startswith(OURS) else f" ({category.__name__}, {filename}:{lineno})"
        LOG.warning("warning: %s%s", " ".join(str(message).split()), where)

    handler: Any = show
    warnings.showwarning = handler
