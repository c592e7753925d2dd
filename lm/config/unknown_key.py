"""Messages about an unknown key, setting, group or option. They suggest the nearest known name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def near(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name with the nearest spelling, first with the same capitals; None if none is near."""
    names = sorted({str(name) for name in known})
    small = {name.lower(): name for name in names}
    found = get_close_matches(word, names, n=1, cutoff=cutoff)
    found = found or [small[name] for name in get_close_matches(word.lower(), small, n=1, cutoff=cutoff)]
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question 'Did you mean x?' for the known name with the nearest spelling, else a list of all known names."""
    known = sorted({str(name) for name in known})
    if (found := near(word, known)) is not None:
        return f"Did you mean {found}?"
    return f"Choose from: {', '.join(known)}." if known else ""


def unknown_option(group: str, option: str, known: Iterable[str], what: str = "option") -> str:
    """The message for an option that the group does not have, such as `model=gru`."""
    return f"{group}={option}: there is no such {what}. {did_you_mean(option, known)}"


def option_of_an_inner_group(group: str, option: str, inner: str) -> str:
    """The message for an option of an inner group, given to the group itself: `model=gru` for `model/cell=gru`."""
    return f"{group}={option}: {option} is an option of {inner}: {inner}={option}"


def lacking(path: str, keys: Sequence[str], known: Iterable[str]) -> str:
    """The message for settings that the chosen option of a group lacks, but an experiment or a file brings."""
    others = f" Nor are {', '.join(keys[1:])}." if len(keys) > 1 else ""
    left_out = " ".join(f"'~{path}.{key}'" if len(keys) > 1 else f"~{path}.{key}" for key in keys)
    return f"{unknown_setting(path, keys[0], known)}{others} If an experiment brings this, leave it out: {left_out}"


def unknown_setting(path: str, key: str, known: Iterable[str]) -> str:
    """The message for a setting that the object at `path` does not have, such as `model.hiden_size`."""
    hint = did_you_mean(key, known) or f"{path} has no settings."
    return f"{path}.{key} is not a setting of {path}. {hint}"


def unknown_top(key: str, known: Iterable[str]) -> str:
    """The message for an unknown name at the top level of a configuration, such as `modle`."""
    return f"{key}: there is no such group or setting. {did_you_mean(key, known)}"


def unknown_head(key: str, top: str, hint: str) -> str:
    """The message for a key on the command line whose first part is unknown, such as `modle.hidden_size`."""
    return f"{key}: there is no {'such group or setting' if key == top else f'group or setting {top}'}. {hint}"


def unknown_leaf(key: str, hint: str) -> str:
    """The message for a key on the command line whose last part is unknown, such as `model.hiden_size`."""
    parent, _, last = key.rpartition(".")
    return f"{key}: there is no setting {last}{f' of {parent}' if parent else ''}. {hint}"


def has_settings(key: str, below: Iterable[str]) -> str:
    """The message for a value given to a part that has settings of its own, such as `tbptt=2`."""
    return f"{key}: set what is below it: {', '.join(f'{name}=...' for name in below)}"


def no_settings_below(key: str, top: str) -> str:
    """The message for a setting of a group without a chosen option: `forcing.decay.k` without a `forcing/decay`."""
    parent = key.rpartition(".")[0]
    return f"{key}: {parent} has no settings here; another option of {top} may have them (see --help)"


def unknown_group(key: str, hint: str) -> str:
    """The message for a group that is not a folder of conf/, such as `model/cel`."""
    return f"{key}: there is no such group. {hint}"


def no_choice_in(key: str, top: str) -> str:
    """The message for a group that the chosen option does not have: `model/cell` for a model without a cell."""
    return f"{key}: the chosen {top} has no such group; another option of {top} may have it (see --help)"


def wants_plus(key: str) -> str:
    """The message for a group that needs a plus sign, such as `experiment=no_tf` for `+experiment=no_tf`."""
    return f"{key}: write it with a plus: +{key}=NAME"


def chosen_with_slash(path: str, option: str) -> str:
    """The message for a dot in place of a slash: `model.cell=lstm` for the group `model/cell`."""
    *group, last = path.split(".")
    return f"{path} is chosen with a slash: {'/'.join(group)}/{last}={option}"
