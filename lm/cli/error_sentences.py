"""What went wrong in one sentence: what, where, what to do."""

from __future__ import annotations

import errno
import re

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from lm.cli.arguments import FREE_LISTS
from lm.config.unknown_key import unknown_option
from lm.system.errors import out_of_memory


def explain(error: Exception, command: str) -> str:
    """An exception as one sentence about conf/`command`.yaml, without Hydra's own hints where they mislead."""
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
        from lm.cli.known_settings import (
            unknown_override,  # composes configurations: wanted only where something is misspelt
        )

        return unknown_override(found[1], command)
    if isinstance(error, OverrideParseException):
        from lm.cli.known_settings import unparsable

        return unparsable(error.override)
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return unknown_option(group, option, error.options)
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
