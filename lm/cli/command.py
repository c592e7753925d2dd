"""The wrapper around `hydra.main`: it accepts free text as arguments and reports errors as one sentence."""

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

from lm.cli.arguments import for_hydra
from lm.cli.error_sentences import explain
from lm.config.compose import register
from lm.config.conf_folder import CONF, ROOT
from lm.system.errors import UserError, out_of_memory
from lm.system.log import LOG, log_warnings
from lm.system.signals import Interrupted, terminable
from lm.system.terminal import usable_streams

UNKNOWN_OPTION = (
    "the command line cannot be read: settings are key=value without dashes, and options such as --config-dir DIR come "
    "before all settings; see --help"
)


def command(name: str, task: Callable[[DictConfig], Any]) -> None:
    """Call `task` with the configuration from conf/`name`.yaml and the command line, then exit.

    A mistake prints one sentence and gives exit code 1; Ctrl-C gives exit code 130, SIGTERM 143. In a sweep, a failing
    job is reported when it fails, and the remaining jobs still run. HYDRA_FULL_ERROR=1 prints the stack trace.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        from lm.cli.help import help_text

        print(help_text(name))
        return
    usable_streams()
    log_warnings()
    register()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors, so that only this module prints them
    codes: list[int] = []

    def job(cfg: DictConfig) -> Any:
        try:
            return task(cfg)
        except Exception as error:
            codes.append(_tell(error, name, wants_traceback))
            return float("inf")  # for sweepers: the worst score
        except Interrupted as stop:
            LOG.error("error: %s", ". ".join([str(stop), *getattr(stop, "__notes__", [])]))
            codes.append(stop.code)
            raise

    try:
        sys.argv[1:] = for_hydra(sys.argv[1:], name)
        with terminable():
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(job)()
    except SystemExit as stop:  # argparse, about an option that Hydra does not know
        if stop.code not in (None, 0):
            LOG.error("error: %s", UNKNOWN_OPTION)
            codes.append(1)
    except Interrupted as stop:
        if not codes or codes[-1] != stop.code:  # otherwise the job has reported it
            LOG.error("error: %s", stop)
            codes.append(stop.code)
    except KeyboardInterrupt:
        LOG.error("error: interrupted")
        codes.append(130)
    except Exception as error:
        codes.append(_tell(error, name, wants_traceback))
    sys.exit(max(codes, default=0))


def _tell(error: Exception, name: str, wants_traceback: bool) -> int:
    """Report an error and return the exit code.

    Prints the stack trace if the user wants it, or if the error is a bug of this program.
    """
    if isinstance(error.__cause__, OSError) and isinstance(error, ValueError):  # Hydra's log cannot be opened
        error = error.__cause__
    known = isinstance(error, (UserError, HydraException, OmegaConfBaseException, OSError)) or out_of_memory(error)
    ours = not known and not hasattr(error, "problem_mark")
    if ours or wants_traceback:
        LOG.error("%s", "".join(traceback.format_exception(error)).rstrip())
    where = _foreign_place(error) or "This is a bug in recurrent-lm; please report it with the lines above"
    LOG.error("error: %s", f"{type(error).__name__}: {error}. {where}" if ours else explain(error, name))
    return 1


def _foreign_place(error: Exception) -> str | None:
    """The line of the user's own code in which an error occurred; None if only other code was running.

    Code of this project and of installed libraries is not the user's own.
    """
    installed = (str(ROOT), sys.prefix, sys.base_prefix, "<")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(installed) and Path(frame.filename).is_file():
            return f"It comes from {frame.filename}, line {frame.lineno}; the lines above say how it was reached"
    return None
