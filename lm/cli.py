"""The one wrapper around `hydra.main`: free text on the way in, clear sentences on the way out."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lm.config import CONF, register
from lm.errors import UserError

FREE_TEXT = ("prompt", "prompt_file", "text", "text_file", "checkpoint", "per_token", "out")
FREE_TEXT += ("data.train", "data.valid", "data.test")
FREE_LISTS = ("words",)


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Turn a function of one configuration into a program that reads conf/`config_name`.yaml and the command line."""

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        def program() -> None:
            register()
            sys.argv[1:] = [quote(argument) for argument in sys.argv[1:]]
            wants_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, and what is printed is decided here alone
            try:
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(task)()
            except KeyboardInterrupt:
                sys.exit(_fail("interrupted", 130))
            except (UserError, HydraException, OmegaConfBaseException) as error:
                if wants_traceback:
                    raise
                sys.exit(_fail(explain(error), 1))
            except Exception:
                traceback.print_exc()
                sys.exit(_fail("this is a bug in recurrent-lm, not in what you asked for; please report it", 1))

        return program

    return decorate


def _fail(sentence: str, code: int) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return code


def explain(error: Exception) -> str:
    """An exception as one sentence, without Hydra's own hints where they mislead."""
    text = str(error)
    if found := re.search(r"Could not override '([^']+)'", text):
        from lm.suggest import unknown_override  # composes configurations: wanted only where something is misspelt

        return unknown_override(found[1])
    return " ".join(text.split())


def quote(argument: str) -> str:
    """Quote the value of a free-text setting, so that Hydra's grammar takes it as it was typed.

    `prompt=it's` -> `prompt='it\\'s'`; `words=[n't,<unk>]` -> `words=['n\\'t','<unk>']`. What is already quoted, and
    every other setting, stays.
    """
    key, equals, value = argument.partition("=")
    name = key.lstrip("+")
    if not equals or not value or _is_quoted(value) or value in ("null", "???"):
        return argument
    if name in FREE_TEXT:
        return f"{key}={_quoted(value)}"
    if name in FREE_LISTS and value.startswith("[") and value.endswith("]"):
        words = [word.strip() for word in value[1:-1].split(",")]
        return f"{key}=[{','.join(word if _is_quoted(word) else _quoted(word) for word in words if word)}]"
    return argument


def _is_quoted(value: str) -> bool:
    return len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""


def _quoted(value: str) -> str:
    # In Hydra's grammar a backslash is an escape only in front of a quote, and at a value's very end.
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", value)
    escaped = re.sub(r"(\\+)$", lambda found: found[1] * 2, escaped)
    return f"'{escaped}'"
