"""Translates what the user types on the command line into Hydra's grammar."""

from __future__ import annotations

import re
from pathlib import Path

from lm.config.conf_folder import CONF
from lm.config.schemas import SCHEMAS, free
from lm.system.bounds import annotations_of
from lm.system.errors import UserError


def _marked() -> tuple[set[str], set[str]]:
    """The free-text settings of all commands, and the settings that are lists of free text."""
    texts, lists = set(), set()
    for schema in SCHEMAS.values():
        for name, hint in annotations_of(schema).items():
            mark = free(hint)
            if mark is None:
                continue
            texts |= {f"{name}.{inner}" for inner in mark.texts}
            lists |= {f"{name}.{inner}" for inner in mark.lists}
            if not (mark.texts or mark.lists):
                (lists if mark.many else texts).add(name)
    return texts, lists


FREE_TEXT, FREE_LISTS = _marked()
FOLDERS = {"hydra.run.dir", "hydra.sweep.dir"}


def for_hydra(arguments: list[str], command: str) -> list[str]:
    """Translate a whole command line into Hydra's grammar.

    Raises UserError for mistakes that can be found before Hydra starts.
    """
    arguments = keep_record(run_folder(arguments)) if command == "train" else arguments
    # Hydra's parser takes -m only before the settings; users put it anywhere.
    sweep = ["-m"] if {"-m", "--multirun"} & set(arguments) else []
    settings = [argument for argument in arguments if argument not in ("-m", "--multirun")]
    return sweep + [quote(without_group(argument), bool(sweep)) for argument in settings]


def without_group(argument: str) -> str:
    """Translate `logger=null` into `~logger`, with which Hydra removes the group.

    Raises UserError for a group that a run needs.
    """
    key, _, value = argument.partition("=")
    group = key.lstrip("+")
    if value != "null" or not (CONF / group).is_dir():
        return argument
    if group in ("callbacks", "logger"):
        return f"~{group}"
    if "/" in group:
        raise UserError(f"{argument}: for null, use a dot: {group.replace('/', '.')}=null")
    raise UserError(f"{argument}: one of the group's options is needed; see --help")


def run_folder(arguments: list[str]) -> list[str]:
    """Make a run resume in its own folder: for `checkpoint=DIR`, set Hydra's output folder to DIR too.

    Raises UserError, before Hydra writes into the folder, for `checkpoint=last` without a folder and for a folder
    without a checkpoint.
    """
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if given.get("hydra.run.dir") == "":
        raise UserError("hydra.run.dir is empty; name a folder: hydra.run.dir=DIR")
    checkpoint = given.get("checkpoint", "").strip("'\"")
    if not checkpoint or "hydra.run.dir" in given or "hydra.sweep.dir" in given:
        return arguments
    if checkpoint == "last":
        raise UserError("checkpoint=last resumes in the run's folder: name it with hydra.run.dir=DIR")
    folder = Path(checkpoint).expanduser()
    if not folder.is_dir():
        return arguments
    folder = folder.parent if folder.name == "checkpoints" else folder
    if not any((folder / "checkpoints").glob("*.ckpt")):
        raise UserError(f"checkpoint: {folder} holds no checkpoint; name a checkpoint file or the folder of a run")
    return [*arguments, f"hydra.run.dir={_quoted(str(folder))}"]


def keep_record(arguments: list[str]) -> list[str]:
    """Keep Hydra's record of how a run was started.

    A later command in the run's folder does not overwrite it, whether the command resumes the run or is refused.
    """
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    folder = given.get("hydra.run.dir", "").strip("'\"")
    kept = folder and (Path(folder).expanduser() / ".hydra").is_dir() and "hydra.output_subdir" not in given
    return [*arguments, "hydra.output_subdir=null"] if kept else arguments


def quote(argument: str, sweeping: bool = False) -> str:
    """Quote the value of a free-text setting, so that Hydra's grammar takes it as typed.

    `prompt=it's` -> `prompt='it\\'s'`; `words=[n't,<unk>]` -> `words=['n\\'t','<unk>']`. Quoted values and all other
    settings stay unchanged; in a sweep a comma separates values, as in every other setting.
    """
    key, equals, value = argument.partition("=")
    name = key.lstrip("+")
    if not equals or not value or _is_quoted(value) or value in ("null", "???"):
        return argument
    if sweeping and "," in value and (name in FREE_TEXT or "],[" in value):
        return argument
    if name in FREE_TEXT:
        # OmegaConf would read ${...} as a reference to another setting; in free text it is plain text.
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
    # In Hydra's grammar a backslash is an escape only before a quote and at the end of a value.
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", value)
    escaped = re.sub(r"(\\+)$", lambda found: found[1] * 2, escaped)
    return f"'{escaped}'"
