"""Describes an error in one sentence: what is wrong, where, and what to do. Each origin of errors has a function."""

from __future__ import annotations

import errno
import glob
import re
import sys
from collections.abc import Callable
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from lm.cli.known_settings import settings_of, unknown_deletion, unknown_override
from lm.cli.wrong_form import unreadable
from lm.config.compose import default_options
from lm.config.conf_folder import CONF
from lm.config.schemas import SCHEMAS
from lm.config.unknown_key import has_settings, option_of_an_inner_group, unknown_option, unknown_top
from lm.system.errors import out_of_memory

FULL = {errno.ENOSPC, errno.EDQUOT}
BARRED = {errno.EACCES, errno.EPERM, errno.EROFS}
PLUGINS = {"launcher": ("joblib", "ray", "rq", "submitit"), "sweeper": ("ax", "nevergrad", "optuna")}
"""Hydra's plugins, which are packages of their own."""
EXTRAS = {"joblib": "joblib", "submitit": "slurm", "optuna": "optuna"}
"""The extra of this package that brings a plugin, in a version that fits."""


def explain(error: Exception, command: str) -> str:
    """Describe an exception in one sentence about conf/`command`.yaml, without those hints of Hydra that mislead."""
    for sentence in ORIGINS:
        if (said := sentence(error, command)) is not None:
            return said
    cause = error.__cause__
    text = f"{error}: {str(cause).splitlines()[0]}" if isinstance(cause, OmegaConfBaseException) else str(error)
    return " ".join(text.split())


def of_the_system(error: Exception, command: str) -> str | None:
    if not isinstance(error, OSError) or isinstance(error, HydraException):
        return None
    if error.errno == errno.EPIPE:
        return "standard output was closed before all was written"
    where = f"{error.filename}: " if error.filename else ""
    remedy = "free space, or " if error.errno in FULL else "check the rights, or " if error.errno in BARRED else ""
    return f"{where}{error.strerror or error}; {remedy}choose another folder or file"


def of_a_missing_package(error: Exception, command: str) -> str | None:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0]
    if package in sys.modules:
        return f"{package} has no module {error.name}; another version of {package} may have it"
    return f"{package} is not installed: pip install {package}"


def of_memory(error: Exception, command: str) -> str | None:
    return "out of memory: ask for less at a time, or choose a smaller model" if out_of_memory(error) else None


def of_a_yaml_file(error: Exception, command: str) -> str | None:
    if (mark := getattr(error, "problem_mark", None)) is None:
        return None
    wrong = getattr(error, "problem", None) or "cannot be read"
    return f"{mark.name}, line {mark.line + 1}: no valid YAML ({wrong}): write key: value and indent by spaces"


def of_an_unknown_key(error: Exception, command: str) -> str | None:
    found = re.search(r"Could not override '([^']+)'.*?use \+[^=\n]+=([^\n]*)", str(error), re.DOTALL)
    return unknown_override(found[1], found[2].strip("'").replace("\\'", "'"), command) if found else None


def of_an_unreadable_argument(error: Exception, command: str) -> str | None:
    return unreadable(error.override) if isinstance(error, OverrideParseException) else None


def of_an_unknown_option(error: Exception, command: str) -> str | None:
    if not (isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file):
        return None
    file = error.missing_cfg_file.removeprefix("data/")
    inner = (CONF / error.missing_cfg_file).parent  # of an inner group, such as data/tokeniser
    of_data = file != error.missing_cfg_file and (inner == CONF / "data" or not inner.is_dir())
    if of_data and (Path(file).is_file() or re.search(r"[/\\]|\.\w{2,5}$", file)):
        return f"data={file}: for a text file of your own: data=text data.train={file}"
    group, _, option = error.missing_cfg_file.rpartition("/")
    plugin, kind = option.partition("_")[0], group.removeprefix("hydra/")
    if plugin in PLUGINS.get(kind, ()):
        package = f'"recurrent-lm[{EXTRAS[plugin]}]"' if plugin in EXTRAS else f"hydra-{plugin}-{kind}"
        return f"{group}={option} is not installed: pip install {package}"
    for found in (CONF / group).glob(f"*/{glob.escape(option)}.yaml") if group != "sweep" else ():
        return option_of_an_inner_group(group, option, f"{group}/{found.parent.name}")
    return unknown_option(group, option, error.options)


def of_a_key_in_a_file(error: Exception, command: str) -> str | None:
    found = re.search(r"In '([\w/]+)/([^'/]+)'.*\sKey '([^']+)' not in '\w+Config'", str(error), re.DOTALL)
    if not found:
        return None
    group, option, key = found.groups()
    if group == key:  # a group of other commands
        return unknown_top(group, default_options(command))
    return f"{group}/{option}.yaml: {unknown_top(key, SCHEMAS[command].__dataclass_fields__)}"


def of_a_plus_too_many(error: Exception, command: str) -> str | None:
    found = re.search(r"An item is already at '([^']+)'.*?prefix: '([^\n]*)'", str(error), re.DOTALL)
    return f"+{found[1]}: it has a value already; leave out the plus sign: {found[2]}" if found else None


def of_a_deletion(error: Exception, command: str) -> str | None:
    found = re.search(r"Could not delete from config\. '([^']+)' does not exist", str(error))
    return unknown_deletion(found[1], command) if found else None


def of_a_choice_made_twice(error: Exception, command: str) -> str | None:
    found = re.search(r"use 'override ([\w/]+): ", str(error))
    return f"{found[1]} is given twice; choose one" if found else None


def of_an_experiment_without_package(error: Exception, command: str) -> str | None:
    found = re.search(r"In '(experiment|sweep)/([^']+)'.*\sKey '\1' not in", str(error), re.DOTALL)
    if not found:
        return None
    return f"{found[1]}/{found[2]}.yaml: its first line must be # @package _global_: its settings are the program's"


def of_several_values(error: Exception, command: str) -> str | None:
    found = re.search(r"'([^=']+)=(.*?)'", str(error))
    if "Ambiguous value" not in str(error) or not found:
        return None
    key, value = found.groups()
    if (CONF / key.lstrip("+")).is_dir():
        return f"{key}={value}: for several options, a sweep: put -m in front"
    if re.fullmatch(r"-?\d+,\d+", value):
        decimal = f"{key}={value.replace(',', '.')}"
        return f"{key}={value}: several values are a sweep: put -m in front; one number has a decimal point: {decimal}"
    ways = f"a sweep (put -m in front), a list ({key}=[{value}]) or a text ({key}='\"{value}\"')"
    return f"{key}={value}: several values are {ways}; say which"


def of_a_value_of_another_type(error: Exception, command: str) -> str | None:
    found = re.search(r"override (\S+?)=(.*)", str(error))
    if not isinstance(error.__cause__, OmegaConfBaseException) or not found:
        return None
    (key, value), cause = found.groups(), str(error.__cause__)
    if "not Optional" in cause:
        return f"{key} must not be null; give it another value, or leave it out"
    if "Invalid type assigned" in cause:
        below = [name for name in settings_of(command, ()) if name.startswith(f"{key}.")]
        return has_settings(key, below) + (f"; {key}=null turns it off" if key == "free_running" else "")
    if "ListConfig" in cause:
        return f"{key} must be a list: {key}=[{value},...]"
    types = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false", "string": "one text"}
    wanted = next((words for name, words in types.items() if name in cause), None)
    if wanted and re.search(r"full_key: \S+\[\d+\]", cause):
        return f"{key} must be a list, each of its entries {wanted}; got {value}"
    return f"{key} must be {wanted}; got {value!r}" if wanted else None


ORIGINS: tuple[Callable[[Exception, str], str | None], ...] = (
    of_the_system,
    of_a_yaml_file,
    of_a_missing_package,
    of_memory,
    of_an_unknown_key,
    of_an_unreadable_argument,
    of_an_unknown_option,
    of_a_plus_too_many,
    of_a_deletion,
    of_a_choice_made_twice,
    of_an_experiment_without_package,
    of_a_key_in_a_file,
    of_several_values,
    of_a_value_of_another_type,
)
"""Functions that describe errors, one for each origin. A function returns None for errors of a different origin; the
first sentence that is not None is used."""
