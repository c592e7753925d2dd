"""The one wrapper around `hydra.main`: free text on the way in, clear sentences on the way out."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lm.arguments import keep_record, quote, run_folder, without_group
from lm.config import CONF, register
from lm.errors import UserError, out_of_memory
from lm.explain import explain
from lm.interrupt import Interrupted, terminable
from lm.progress import usable_streams

UNKNOWN_OPTION = (
    "the command line cannot be read: settings are key=value without dashes, and options as --config-dir DIR stand in "
    "front of all settings; see --help"
)


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Turn a function of one configuration into a program that reads conf/`config_name`.yaml and the command line.

    A mistake ends in one sentence and exit code 1, Ctrl-C in 130, SIGTERM in 143. In a sweep a failing job is told of
    where it fails, and the others go on. HYDRA_FULL_ERROR=1 brings the stack trace.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        def program() -> None:
            if {"--help", "-h"} & set(sys.argv[1:]):
                from lm.help import help_text

                print(help_text(config_name))
                return
            usable_streams()
            register()
            wants_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, and what is printed is decided here alone
            codes: list[int] = []

            def job(cfg: DictConfig) -> Any:
                try:
                    return task(cfg)
                except Exception as error:
                    codes.append(_tell(error, wants_traceback))
                    return float("inf")  # for sweepers: the worst of scores

            try:
                arguments = keep_record(run_folder(sys.argv[1:])) if config_name == "train" else sys.argv[1:]
                # Hydra's parser takes -m only in front of the settings; people put it anywhere.
                sweep = ["-m"] if {"-m", "--multirun"} & set(arguments) else []
                settings = [argument for argument in arguments if argument not in ("-m", "--multirun")]
                sys.argv[1:] = sweep + [quote(without_group(argument), bool(sweep)) for argument in settings]
                with terminable():
                    hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(job)()
            except SystemExit as stop:  # argparse, about an option that Hydra does not know
                if stop.code not in (None, 0):
                    print(f"error: {UNKNOWN_OPTION}", file=sys.stderr)
                    codes.append(1)
            except Interrupted as stop:
                print(". ".join(["error: " + str(stop), *getattr(stop, "__notes__", [])]), file=sys.stderr)
                codes.append(stop.code)
            except KeyboardInterrupt:
                print("error: interrupted", file=sys.stderr)
                codes.append(130)
            except Exception as error:
                codes.append(_tell(error, wants_traceback))
            sys.exit(max(codes, default=0))

        return program

    return decorate


def _tell(error: Exception, wants_traceback: bool) -> int:
    """Print what went wrong, with the stack trace where it is wanted or the fault is ours; the exit code."""
    if isinstance(error.__cause__, OSError) and isinstance(error, ValueError):  # Hydra's log, which cannot be opened
        error = error.__cause__
    known = isinstance(error, (UserError, HydraException, OmegaConfBaseException, OSError)) or out_of_memory(error)
    ours = not known and not hasattr(error, "problem_mark")
    if ours or wants_traceback:
        traceback.print_exception(error)
    where = _foreign_place(error) or "This is a bug in recurrent-lm; please report it with the lines above"
    print(f"error: {f'{type(error).__name__}: {error}. {where}' if ours else explain(error)}", file=sys.stderr)
    return 1


def _foreign_place(error: Exception) -> str | None:
    """Where an error passed through code that is neither this project's nor an installed library's; None if nowhere."""
    installed = (str(CONF.parent), sys.prefix, sys.base_prefix, "<")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(installed) and Path(frame.filename).is_file():
            return f"It comes from {frame.filename}, line {frame.lineno}; the lines above say how it was reached"
    return None
