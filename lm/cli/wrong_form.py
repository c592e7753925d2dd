"""Finds mistakes in the form of settings before Hydra reads them: spaces, quotes and words that are no setting."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from lm.cli.known_settings import near_settings, option_of, settings_of
from lm.config.conf_folder import CONF
from lm.config.free_text import free_settings
from lm.config.schemas import SCHEMAS
from lm.system.errors import UserError

TYPOGRAPHIC = {
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2018\u2019\u201a", "'"),
    **dict.fromkeys("\u2013\u2014\u2212\u2010\u2011", "-"),
}
"""Quotes and dashes that word processors write, each with the one to type."""


def refuse_wrong_form(settings: list[str], command: str) -> None:
    """Raise UserError for the first argument that is not of the form `key=value`."""
    for place, argument in enumerate(settings):
        key, equals, value = argument.partition("=")
        if not argument:
            raise UserError("an argument is empty: leave it out, or give the shell's variable a value")
        if key.startswith("~"):
            continue
        if not equals or not key.strip("+ "):
            raise UserError(_sentence(settings, place, command))
        if key != key.strip():
            raise UserError(f"{argument}: write no spaces around =: {key.strip()}={value.strip()}")
        if key[0] in "'\"":
            raise UserError(
                f"{argument}: the quotes became part of the setting; leave them out, or in cmd.exe, which keeps single "
                f'quotes, type double ones: "{argument.strip(key[0])}"'
            )
        if odd := [letter for letter in key if letter in TYPOGRAPHIC]:
            raise UserError(_typographic(argument, odd))


def unreadable(argument: str) -> str:
    """The message for an argument of the form `key=value` whose value Hydra's grammar refuses."""
    key, _, value = argument.partition("=")
    if odd := [letter for letter in value if letter in TYPOGRAPHIC]:
        return _typographic(argument, odd)
    if value.startswith("="):
        return f"{argument}: write one =: {key}={value.lstrip('=')}"
    if value.count("[") > value.count("]"):
        return f'{argument}: the list does not end; put the whole setting in quotes: "{key}=[...]"'
    if value.startswith("("):
        return f"{argument}: a list has square brackets: {key}=[{value.strip('()')}]"
    if value.endswith((",", ";")):
        return f"{argument}: leave out the {value[-1]} at the end; a space separates settings"
    return (
        f"{argument}: cannot be read as a setting; write key=value, and quote a value with spaces, commas or brackets: "
        "'key=\"a, b\"'"
    )


def _typographic(argument: str, odd: list[str]) -> str:
    plain = "".join(TYPOGRAPHIC.get(letter, letter) for letter in argument)
    plain = f"-{plain}" if re.match(r"-\w\w", plain) else plain  # two dashes that became one
    return f"{argument}: {odd[0]} is a typographic character; type it as {TYPOGRAPHIC[odd[0]]}, as in {plain}"


def _sentence(settings: list[str], place: int, command: str) -> str:
    """What a word that is no setting was meant to be."""
    for reading in READINGS:
        if (said := reading(settings, place, command)) is not None:
            return said
    return (
        f"{settings[place]}: cannot be read as a setting; write key=value, and quote a value with spaces: "
        '"key=a b". See --help'
    )


def of_spaces_around_equals(settings: list[str], place: int, command: str) -> str | None:
    before, word, after = _around(settings, place)
    if after.startswith("="):
        value = after[1:] or next(iter(settings[place + 2 :]), "")
        return f"{word} {after}: write no spaces around =: {word}={value}"
    if before.endswith("="):
        return f"{before} {word}: write no spaces around =: {before}{word}"
    return None


def of_a_typographic_character(settings: list[str], place: int, command: str) -> str | None:
    odd = [letter for letter in settings[place] if letter in TYPOGRAPHIC]
    return _typographic(settings[place], odd) if odd else None


def of_the_rest_of_a_value(settings: list[str], place: int, command: str) -> str | None:
    """After `prompt=the`, or after a list that does not end; after a path only if both together exist."""
    before, word, _ = _around(settings, place)
    key, equals, value = before.partition("=")
    mark = free_settings(SCHEMAS[command]).get(key.lstrip("+"))
    is_text = mark is not None and not mark.path and not mark.many
    if not equals or not (is_text or value.count("[") > value.count("]") or Path(f"{value} {word}").exists()):
        return None
    whole = " ".join([value, word, *_until_next_setting(settings[place + 1 :])])
    if whole[0] == whole[-1] == "'":  # cmd.exe keeps single quotes
        whole = whole[1:-1]
    return f'{word}: belongs to {before}? Then put the whole setting in double quotes: "{key}={whole}"'


def of_an_option(settings: list[str], place: int, command: str) -> str | None:
    word = settings[place].lstrip("+")
    if word in ("experiment", "sweep") or word in SCHEMAS or not re.fullmatch(r"[\w./]+", word):
        return None
    found = option_of(word, command)
    return f"{settings[place]}: did you mean {found}?" if found else None


def of_a_setting_without_value(settings: list[str], place: int, command: str) -> str | None:
    _, argument, after = _around(settings, place)
    word, _, value = argument.lstrip("+").partition(":")
    if word not in settings_of(command, settings):
        return None
    if (CONF / word).is_dir() and not value:
        plus = "+" if word in ("experiment", "sweep") else ""
        return f"{argument}: name one of the group's options: {plus}{word}=NAME"
    words = _until_next_setting(settings[place + 1 :])
    if word in free_settings(SCHEMAS[command]) and len(words) > 1:
        return f'{argument}: a setting is written key=value, here in quotes: "{word}={" ".join(words)}"'
    value = value or ("" if "=" in after else after)
    return f"{argument}: a setting is written key=value: {word}={value or '...'}"


def of_a_path(settings: list[str], place: int, command: str) -> str | None:
    word = settings[place]
    path = Path(word).expanduser()
    if not (path.exists() or re.search(r"[/\\]|\.\w{2,5}$", word)):
        return None
    if command == "compare":
        paths = [word, *_until_next_setting(settings[place + 1 :])]
        return f"{word}: did you mean runs=[{','.join(paths)}]?"
    if command in ("train", "describe") and not path.is_dir() and path.suffix not in (".ckpt", ".pt", ".safetensors"):
        return f"{word}: did you mean data=text data.train={word}?"
    return f"{word}: did you mean checkpoint={word}?" if command != "benchmark" else None


def of_a_near_name(settings: list[str], place: int, command: str) -> str | None:
    _, word, after = _around(settings, place)
    hint = near_settings(word.lstrip("+"), "" if "=" in after else after, command, settings)
    return f"{word}: a setting is written key=value. {hint}" if hint else None


READINGS: tuple[Callable[[list[str], int, str], str | None], ...] = (
    of_spaces_around_equals,
    of_a_typographic_character,
    of_the_rest_of_a_value,
    of_an_option,
    of_a_setting_without_value,
    of_a_path,
    of_a_near_name,
)
"""What a word without = can be. A function returns None for a different word; the first sentence is used."""


def _around(settings: list[str], place: int) -> tuple[str, str, str]:
    """The argument before a place, the one there, and the one after; empty if there is none."""
    padded = ["", *settings, ""]
    return padded[place], padded[place + 1], padded[place + 2]


def _until_next_setting(settings: list[str]) -> list[str]:
    """The words up to the next `key=value`."""
    end = next((place for place, argument in enumerate(settings) if "=" in argument), len(settings))
    return settings[:end]
