"""The one wrapper around `hydra.main`: free text on the way in, clear sentences on the way out."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lm.build import did_you_mean
from lm.config import CONF, register
from lm.errors import UserError, out_of_memory
from lm.interrupt import Interrupted, terminable
from lm.progress import usable_streams

FREE_TEXT = {"prompt", "prompt_file", "words_file", "text", "text_file", "per_token", "out"}
FREE_TEXT |= {"checkpoint", "weights_from", "data.train", "data.valid", "data.test"}
UNKNOWN_OPTION = (
    "the command line cannot be read: settings are key=value without dashes, and options as --config-dir DIR stand in "
    "front of all settings; see --help"
)
FREE_LISTS = {"words", "runs", "prompts", "sampler.bad_words"}
FOLDERS = {"hydra.run.dir", "hydra.sweep.dir"}


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Turn a function of one configuration into a program that reads conf/`config_name`.yaml and the command line.

    A mistake ends in one sentence and exit code 1, Ctrl-C in 130. In a sweep a failing job is told of where it fails,
    and the others go on. HYDRA_FULL_ERROR=1 brings the stack trace.
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


def explain(error: Exception) -> str:
    """An exception as one sentence, without Hydra's own hints where they mislead."""
    text = str(error)
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        if error.errno == errno.EPIPE:
            return "standard output was closed before all was written"
        where = f"{error.filename}: " if error.filename else ""
        full, barred = {errno.ENOSPC, errno.EDQUOT}, {errno.EACCES, errno.EPERM, errno.EROFS}
        remedy = "free space, or " if error.errno in full else "check the rights, or " if error.errno in barred else ""
        return f"{where}{error.strerror or text}; {remedy}choose another folder or file"
    if mark := getattr(error, "problem_mark", None):  # of PyYAML's errors
        wrong = getattr(error, "problem", None) or "cannot be read"
        return f"{mark.name}, line {mark.line + 1}: no valid YAML ({wrong}): write key: value and indent by spaces"
    if out_of_memory(error):
        return "out of memory: ask for less at a time, or choose a smaller model"
    if found := re.search(r"Could not override '([^']+)'", text):
        from lm.suggest import unknown_override  # composes configurations: wanted only where something is misspelt

        return unknown_override(found[1])
    if isinstance(error, OverrideParseException):
        from lm.suggest import unparsable

        return unparsable(error.override)
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}={option}: there is no such option. {did_you_mean(option, error.options)}"
    if found := re.search(r"use 'override ([\w/]+): ", text):
        return f"{found[1]} is given twice; choose one"
    if found := re.search(r"In '(experiment|sweep)/([^']+)'.*\sKey '\1' not in", text, re.DOTALL):
        return f"{found[1]}/{found[2]}.yaml: its first line must be # @package _global_: its settings are the program's"
    if "Ambiguous value" in text and (found := re.search(r"'([^=']+)=(.*?)'", text)):
        key, value = found.groups()
        if key in FREE_LISTS:
            return f"{key} must be a list: {key}=[{value}]"
        ways = f"a sweep (put -m in front), a list ({key}=[{value}]) or a text ({key}='\"{value}\"')"
        return f"{key}={value}: several values are {ways}; say which"
    if isinstance(error.__cause__, OmegaConfBaseException) and (found := re.search(r"override (\S+?)=(.*)", text)):
        key, value = found.groups()
        kind = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}
        wanted = next((words for name, words in kind.items() if name in str(error.__cause__)), None)
        if "ListConfig" in str(error.__cause__):
            return f"{key} must be a list: {key}=[{value},...]"
        if wanted:
            return f"{key} must be {wanted}; got {value!r}"
    if isinstance(error.__cause__, OmegaConfBaseException):
        text = f"{text}: {str(error.__cause__).splitlines()[0]}"
    return " ".join(text.split())


def without_group(argument: str) -> str:
    """`logger=null` as Hydra has it: `~logger`. Raises UserError for a group that a run cannot do without."""
    key, _, value = argument.partition("=")
    group = key.lstrip("+")
    if value != "null" or not (CONF / group).is_dir():
        return argument
    if group in ("callbacks", "logger"):
        return f"~{group}"
    if "/" in group:
        raise UserError(f"{argument}: null is set with a dot: {group.replace('/', '.')}=null")
    raise UserError(f"{argument}: one of the group's options is needed; see --help")


def run_folder(arguments: list[str]) -> list[str]:
    """A run that goes on does so in its own folder: `checkpoint=DIR` sets Hydra's folder too.

    Raises UserError for `checkpoint=last` where no folder is named, and for a folder without a checkpoint: before
    Hydra writes into it.
    """
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if given.get("hydra.run.dir") == "":
        raise UserError("hydra.run.dir is empty; name a folder: hydra.run.dir=DIR")
    checkpoint = given.get("checkpoint", "").strip("'\"")
    if not checkpoint or "hydra.run.dir" in given or "hydra.sweep.dir" in given:
        return arguments
    if checkpoint == "last":
        raise UserError("checkpoint=last goes on in the folder of the run: name it with hydra.run.dir=DIR")
    folder = Path(checkpoint).expanduser()
    if not folder.is_dir():
        return arguments
    folder = folder.parent if folder.name == "checkpoints" else folder
    if not any((folder / "checkpoints").glob("*.ckpt")):
        raise UserError(f"checkpoint: {folder} holds no checkpoint; name a checkpoint file or the folder of a run")
    return [*arguments, f"hydra.run.dir={_quoted(str(folder))}"]


def keep_record(arguments: list[str]) -> list[str]:
    """Hydra's record of how a run was started stays in its folder when another command goes on there, or is refused."""
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    folder = given.get("hydra.run.dir", "").strip("'\"")
    kept = folder and (Path(folder).expanduser() / ".hydra").is_dir() and "hydra.output_subdir" not in given
    return [*arguments, "hydra.output_subdir=null"] if kept else arguments


def quote(argument: str, sweeping: bool = False) -> str:
    """Quote the value of a free-text setting, so that Hydra's grammar takes it as it was typed.

    `prompt=it's` -> `prompt='it\\'s'`; `words=[n't,<unk>]` -> `words=['n\\'t','<unk>']`. What is already quoted, and
    every other setting, stays; in a sweep a comma separates values as everywhere.
    """
    key, equals, value = argument.partition("=")
    name = key.lstrip("+")
    if not equals or not value or _is_quoted(value) or value in ("null", "???"):
        return argument
    if sweeping and "," in value and (name in FREE_TEXT or "],[" in value):
        return argument
    if name in FREE_TEXT:
        # OmegaConf would read ${...} as a reference to another setting; in text it is text.
        text = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
        return f"{key}={_quoted(text)}"
    if name in FOLDERS and ("=" in value or not value.isascii()):
        return f"{key}={_quoted(value)}"
    if name in FREE_LISTS and value.startswith("[") and value.endswith("]"):
        words = re.findall(r"\s*('[^']*'|\"[^\"]*\"|[^,]+)\s*(?:,|$)", value[1:-1])
        words = [word.strip() for word in words if word.strip()]
        return f"{key}=[{','.join(word if _is_quoted(word) else _quoted(word) for word in words)}]"
    return argument


def _is_quoted(value: str) -> bool:
    return len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""


def _quoted(value: str) -> str:
    # In Hydra's grammar a backslash is an escape only in front of a quote, and at a value's very end.
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", value)
    escaped = re.sub(r"(\\+)$", lambda found: found[1] * 2, escaped)
    return f"'{escaped}'"
