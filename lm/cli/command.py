"""The wrapper around `hydra.main`: it accepts free text as arguments and reports errors as one sentence."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lm.cli.arguments import for_hydra, quote
from lm.cli.blame import foreign_place, is_ours
from lm.cli.error_sentences import explain
from lm.cli.relaunch import finished_before_relaunch
from lm.config.compose import register
from lm.config.conf_folder import CONF
from lm.config.hydra_job import refuse_unknown_keys
from lm.config.trust import foreign
from lm.system.errors import UserError, out_of_memory
from lm.system.launched import launched
from lm.system.log import LOG, log_warnings
from lm.system.signals import Interrupted, terminable
from lm.system.sweep_head import end_with, end_worker, stop_workers, threads_of_a_job, told_only_here
from lm.system.terminal import usable_streams


def command(name: str, task: Callable[[DictConfig], Any]) -> None:
    """Call `task` with the configuration from conf/`name`.yaml and the command line, then exit.

    A mistake prints one sentence and gives exit code 1; Ctrl-C gives exit code 130, SIGTERM 143. In a sweep, a failing
    job is reported when it fails, and the remaining jobs still run. HYDRA_FULL_ERROR=1 prints the stack trace.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        from lm.cli.help import help_text

        try:
            print(help_text(name, [word for word in sys.argv[1:] if not word.startswith("-")]))
        except UserError as error:
            sys.exit(f"error: {error}")
        return
    usable_streams()
    log_warnings()
    register()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors, so that only this module prints them
    codes: list[int] = []
    head = os.getpid()

    def job(cfg: DictConfig) -> Any:
        try:
            end_with(head)
            if "accelerator" in cfg:
                from lm.system.devices import use_threads  # imports torch, as the task does

                refuse_unknown_keys(cfg)
                use_threads(cfg.accelerator.threads or threads_of_a_job())
            return task(cfg)
        except Exception as error:
            codes.append(_tell(error, name, wants_traceback, _chosen(cfg)))
            return float("inf")  # for sweepers: the worst score
        except Interrupted as stop:
            LOG.error("error: %s", ". ".join([str(stop), *getattr(stop, "__notes__", [])]))
            codes.append(stop.code)
            stop.hand_on()
            end_worker(head, stop.code)
            raise

    try:
        sys.argv[1:] = for_hydra(sys.argv[1:], name)
        with terminable(before=stop_workers), one_folder(name), told_only_here():
            finished = -1
            while True:
                try:
                    hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(job)()
                    break
                except Exception as error:
                    if (now := finished_before_relaunch(error, finished)) is None:
                        raise
                    finished = now
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


@contextmanager
def one_folder(name: str) -> Iterator[None]:
    """Of several processes that torchrun or srun started, let only the first one have a folder of Hydra's."""
    place = launched()
    if place is None or place.rank == 0:
        yield
        return
    with TemporaryDirectory() as folder:
        sys.argv += [quote(f"hydra.{mode}.dir={folder}") for mode in ("run", "sweep")]
        sys.argv += ["~hydra.callbacks.table"] if name == "train" else []
        yield


def _tell(error: Exception, name: str, wants_traceback: bool, chosen: Collection[str] = ()) -> int:
    """Report an error and return the exit code. `chosen`: the classes and functions that the user added.

    Prints the stack trace if the user wants it, or if the error is a bug of this program or of the user's own code.
    """
    if isinstance(error.__cause__, OSError) and isinstance(error, ValueError):  # Hydra's log cannot be opened
        error = error.__cause__
    sentence, traced = _sentence(error, name, chosen), wants_traceback
    if sentence is None:
        sentence, traced = f"{type(error).__name__}: {error}. {_whose(error, chosen)}", True
    if traced:
        LOG.error("%s", "".join(traceback.format_exception(error)).rstrip())
    LOG.error("error: %s", sentence)
    return 1


def _sentence(error: Exception, name: str, chosen: Collection[str]) -> str | None:
    """What the user can do about an error; None if it is a bug, of this program or of the user's own code."""
    missing = isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] != "lm"
    written = isinstance(error, (UserError, HydraException)) or hasattr(error, "problem_mark")
    if missing or written or out_of_memory(error):
        return explain(error, name)
    if isinstance(error, (OSError, OmegaConfBaseException)) and foreign_place(error, chosen) is None:
        return explain(error, name)
    if is_ours(error):
        return None
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "  # Hydra's sentences are ValueErrors
    return f"{kind}{' '.join(str(error).split())}; HYDRA_FULL_ERROR=1 shows where"


def _whose(error: Exception, chosen: Collection[str]) -> str:
    if place := foreign_place(error, chosen):
        return f"It comes from {place}; the lines above say how it was reached"
    if chosen:
        return f"The lines above say where: in recurrent-lm, or caused by {', '.join(chosen)}, which is no part of it"
    return "This is a bug in recurrent-lm; please report it with the lines above"


def _chosen(cfg: DictConfig) -> list[str]:
    """The classes and functions in a configuration that do not belong to this project."""
    config: Any = OmegaConf.to_container(cfg)
    return [code for code in foreign(config) if not code.startswith("lm.")]
