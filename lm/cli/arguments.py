"""Translates what the user types on the command line into Hydra's grammar."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from lm.cli.options import options_first
from lm.cli.wrong_form import refuse_wrong_form
from lm.config.conf_folder import CONF
from lm.config.free_text import Free, free_settings
from lm.config.schemas import SCHEMAS
from lm.config.unknown_key import unknown_option
from lm.system.errors import UserError

FREE = {name: mark for schema in SCHEMAS.values() for name, mark in free_settings(schema).items()}
FOLDERS = {"hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"}
MANY = ("callbacks", "logger", "experiment", "sweep")
"""Groups of which several options can be chosen at once."""


def for_hydra(arguments: list[str], command: str) -> list[str]:
    """Translate a whole command line into Hydra's grammar.

    Raises UserError for mistakes that can be found before Hydra starts.
    """
    options, settings = options_first(arguments, command)
    refuse_wrong_form(settings, command)
    settings = keep_record(run_folder(settings)) if command == "train" else settings
    settings = moved_files(settings) if command == "train" else settings
    free = free_settings(SCHEMAS[command])
    return [*options, *(quote(group_choice(setting, command), "-m" in options, free) for setting in settings)]


def group_choice(argument: str, command: str = "train") -> str:
    """Translate `logger=null` into `~logger`, with which Hydra removes the group.

    Raises UserError for a group that a run needs, for a number as an option, for several options of a group that takes
    one, and for an experiment in another command than train.
    """
    key, _, value = argument.partition("=")
    group = key.lstrip("+")
    if not group or not (CONF / group).is_dir():
        return argument
    if group in ("experiment", "sweep") and command != "train":
        raise UserError(f"{argument}: only train.py has experiments and sweeps; leave it out here")
    if value.startswith("[") and group not in MANY:
        raise UserError(
            f"{argument}: one option of {group} at a time; for several, a sweep: -m {group}={value.strip('[]')}"
        )
    if re.fullmatch(r"[-+.\d]+|true|false", value, re.IGNORECASE):  # Hydra wants a text
        raise UserError(unknown_option(group, value, [file.stem for file in (CONF / group).glob("*.yaml")]))
    if value != "null":
        return argument
    if group in ("callbacks", "logger"):
        return f"~{group}"
    if "/" in group:
        raise UserError(f"{argument}: for null, use a dot: {group.replace('/', '.')}=null")
    raise UserError(f"{argument}: one of the group's options is needed; see --help")


def run_folder(settings: list[str]) -> list[str]:
    """Make a run resume in its own folder: for `checkpoint=DIR`, set Hydra's output folder to DIR too.

    Raises UserError, before Hydra writes into the folder, for `checkpoint=last` without a folder and for a folder
    without a checkpoint.
    """
    given = _by_name(settings)
    for name in FOLDERS & given.keys():
        if not given[name]:
            raise UserError(f"{name} is empty; name a folder: {name}=DIR")
    checkpoint = given.get("checkpoint", "")
    if checkpoint in ("", "null") or "hydra.run.dir" in given or "hydra.sweep.dir" in given:
        return settings
    if checkpoint == "last":
        raise UserError("checkpoint=last resumes in the run's folder: name it with hydra.run.dir=DIR")
    folder = Path(checkpoint).expanduser()
    if not folder.is_dir():
        return settings
    folder = folder.parent if folder.name == "checkpoints" else folder
    if not any((folder / "checkpoints").glob("*.ckpt")):
        if (folder / "model.safetensors").is_file():
            raise UserError(
                f"checkpoint: {folder} is an exported model and lacks what training needs to resume; start a new run "
                f"from its weights: weights_from={folder}"
            )
        if jobs := sorted(folder.glob("*/checkpoints")):
            raise UserError(f"checkpoint: {folder} holds several runs; name one of them: checkpoint={jobs[0].parent}")
        raise UserError(f"checkpoint: {folder} holds no checkpoint; name a checkpoint file or the folder of a run")
    return [*settings, f"hydra.run.dir={_literal(str(folder))}"]


def moved_files(settings: list[str]) -> list[str]:
    """Let `data.train=FILE` name the new place of a resumed run's file, also where the default `data` has no files."""
    if _by_name(settings).get("checkpoint", "null") == "null":
        return settings
    return [f"++{setting}" if re.match(r"data\.(train|valid|test)=", setting) else setting for setting in settings]


def keep_record(settings: list[str]) -> list[str]:
    """Keep Hydra's record of how a run was started.

    A later command in the run's folder does not overwrite it, whether the command resumes the run or is refused.
    """
    given = _by_name(settings)
    folder = given.get("hydra.run.dir")
    kept = folder and (Path(folder).expanduser() / ".hydra").is_dir() and "hydra.output_subdir" not in given
    return [*settings, "hydra.output_subdir=null"] if kept else settings


def _by_name(settings: list[str]) -> dict[str, str]:
    """Name -> value of the settings, without quotes of Hydra's grammar around a value."""
    given = dict(setting.split("=", 1) for setting in settings if "=" in setting)
    plain = {name: re.sub(r"\\(['\"])", r"\1", value[1:-1]) for name, value in given.items() if _is_quoted(value)}
    return given | plain


def quote(argument: str, sweeping: bool = False, free: Mapping[str, Free] = FREE) -> str:
    """Quote a free text or a folder's name, so that Hydra's grammar takes it as typed; see `lm.config.free_text`.

    `prompt=it's` -> `prompt='it\\'s'`; `words=[n't,<unk>]` -> `words=['n\\'t','<unk>']`. All other settings stay as
    they are. In a sweep a comma separates values, as in every other setting.

    Raises UserError for a list without brackets and for an empty path.
    """
    key, equals, value = argument.partition("=")
    name = key.lstrip("+")
    if name in FOLDERS:
        kept = value == "null" or _is_quoted(value)
        return argument if kept else f"{key}={_quoted(os.path.expanduser(value))}"
    mark = free.get(name)
    if mark is not None and mark.path and equals and not value:
        raise UserError(f"{name} is empty; name a file or folder, or leave it out")
    if mark is None or not value or (sweeping and value.startswith("choice(")):
        return argument
    if mark.many or (mark.or_many and value[0] == "[" and value[-1] == "]"):
        lists = re.split(r"(?<=\]),(?=\[)", value) if sweeping else [value]
        return f"{key}={','.join(_list(name, one) for one in lists)}"
    if sweeping and "," in value:
        return f"{key}={','.join(_entry(one, mark) for one in _entries(value))}"
    left_to_hydra = mark.path and (value == "null" or _is_quoted(value))
    return argument if left_to_hydra else f"{key}={_literal(value)}"


def _list(name: str, value: str) -> str:
    if value == "null":
        return value
    if not (value.startswith("[") and value.endswith("]")):
        inside = value.strip("'\"[](){}")
        raise UserError(f'{name} must be a list: "{name}=[{inside}]"')
    return f"[{','.join(_entry(one) for one in _entries(value[1:-1]))}]"


def _entries(value: str) -> list[str]:
    """The texts between commas; quotes around a text protect a comma inside it."""
    found = re.findall(r"\s*('[^']*'|\"[^\"]*\"|[^,]+)\s*(?:,|$)", value)
    return [text.strip() for text in found if text.strip()]


def _entry(text: str, mark: Free | None = None) -> str:
    if mark is not None and mark.path and text == "null":
        return text
    quoted = _is_quoted(text) and len(text) > 2
    if quoted and text[1:-1] != "???":
        return text
    return _literal(text[1:-1] if quoted else text)


def _literal(text: str) -> str:
    """A text in Hydra's grammar that OmegaConf too takes as typed."""
    if text == "???":  # to OmegaConf, and in quotes too, the sign of a missing value
        return _quoted("""${oc.decode:"'???'"}""")
    # OmegaConf would read ${...} as a reference to another setting.
    return _quoted(re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text))


def _is_quoted(value: str) -> bool:
    """Whether a value is wholly in quotes of Hydra's grammar."""
    return re.fullmatch(r"""(['"])(\\.|(?!\1)[^\\])*\1""", value, re.DOTALL) is not None


def _quoted(value: str) -> str:
    # In Hydra's grammar a backslash is an escape only before a quote and at the end of a value.
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", value)
    escaped = re.sub(r"(\\+)$", lambda found: found[1] * 2, escaped)
    return f"'{escaped}'"
