"""Separates Hydra's own options, which begin with a dash, from settings."""

from __future__ import annotations

import argparse
import re
from difflib import get_close_matches

from hydra._internal.utils import get_args_parser

from lm.cli.known_settings import near_settings, settings_of
from lm.system.errors import UserError


def options_first(arguments: list[str], command: str) -> tuple[list[str], list[str]]:
    """Hydra's options with their values, and the settings. Hydra needs this order; users put options anywhere.

    Raises UserError for an option that Hydra does not have (Hydra would take it for a similar one), and for a wrong
    value.
    """
    parser = get_args_parser()
    parser.exit_on_error = False
    known = parser._option_string_actions
    options: list[str] = []
    settings: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, _ = argument.partition("=")
        if not name.startswith("-") or re.match(r"-[\d.]", name):  # a negative number is no option
            settings.append(argument)
            continue
        if name not in known:
            raise UserError(_unknown_option(argument, rest, settings, command, [*known]))
        options.append("-m" if name == "--multirun" else argument)
        takes = known[name].nargs != 0 and not equals
        if takes and rest and (known[name].nargs != "?" or rest[0] in (known[name].choices or ())):
            options.append(rest.pop(0))
    try:
        parser.parse_args(options)
    except argparse.ArgumentError as error:
        raise UserError(f"{error}; --hydra-help describes Hydra's options") from None
    return options, settings


def _unknown_option(argument: str, following: list[str], settings: list[str], command: str, known: list[str]) -> str:
    name, equals, value = argument.partition("=")
    if not equals and following and not following[0].startswith("-") and "=" not in following[0]:
        value = following[0]
        argument = f"{argument} {value}"
    word, typed = name.strip("-").replace("-", "_"), [*settings, *following]
    long = [] if word in settings_of(command, typed) else [option for option in known if option.startswith("--")]
    near = get_close_matches(name, long, n=1, cutoff=0.8)
    hint = f"Did you mean {near[0]}?" if near else near_settings(word, value, command, typed)
    return f"{argument}: settings are key=value, without dashes. {hint or 'See --help'}"
