"""Describes an error in one sentence: what is wrong, where, and what to do. Each origin of errors has a function."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from lm.cli.arguments import FREE_LISTS
from lm.cli.known_settings import unknown_override, unparsable
from lm.config.unknown_key import unknown_option
from lm.system.errors import out_of_memory

FULL = {errno.ENOSPC, errno.EDQUOT}
BARRED = {errno.EACCES, errno.EPERM, errno.EROFS}


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


def of_memory(error: Exception, command: str) -> str | None:
    return "out of memory: ask for less at a time, or choose a smaller model" if out_of_memory(error) else None


def of_a_yaml_file(error: Exception, command: str) -> str | None:
    if (mark := getattr(error, "problem_mark", None)) is None:
        return None
    wrong = getattr(error, "problem", None) or "cannot be read"
    return f"{mark.name}, line {mark.line + 1}: no valid YAML ({wrong}): write key: value and indent by spaces"


def of_an_unknown_key(error: Exception, command: str) -> str | None:
    found = re.search(r"Could not override '([^']+)'", str(error))
    return unknown_override(found[1], command) if found else None


def of_an_unreadable_argument(error: Exception, command: str) -> str | None:
    return unparsable(error.override) if isinstance(error, OverrideParseException) else None


def of_an_unknown_option(error: Exception, command: str) -> str | None:
    if not (isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file):
        return None
    group, _, option = error.missing_cfg_file.rpartition("/")
    return unknown_option(group, option, error.options)


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
    if key in FREE_LISTS:
        return f"{key} must be a list: {key}=[{value}]"
    ways = f"a sweep (put -m in front), a list ({key}=[{value}]) or a text ({key}='\"{value}\"')"
    return f"{key}={value}: several values are {ways}; say which"


def of_a_value_of_another_type(error: Exception, command: str) -> str | None:
    found = re.search(r"override (\S+?)=(.*)", str(error))
    if not isinstance(error.__cause__, OmegaConfBaseException) or not found:
        return None
    (key, value), cause = found.groups(), str(error.__cause__)
    if "ListConfig" in cause:
        return f"{key} must be a list: {key}=[{value},...]"
    types = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}
    wanted = next((words for name, words in types.items() if name in cause), None)
    return f"{key} must be {wanted}; got {value!r}" if wanted else None


ORIGINS: tuple[Callable[[Exception, str], str | None], ...] = (
    of_the_system,
    of_a_yaml_file,
    of_memory,
    of_an_unknown_key,
    of_an_unreadable_argument,
    of_an_unknown_option,
    of_a_choice_made_twice,
    of_an_experiment_without_package,
    of_several_values,
    of_a_value_of_another_type,
)
"""Functions that describe errors, one for each origin. A function returns None for errors of a different origin; the
first sentence that is not None is used."""
