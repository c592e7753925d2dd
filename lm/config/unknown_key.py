"""Every wording of an unknown key, setting, group or option, with the nearest name that is known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'Did you mean x?' for the nearest spelling, else the list of what there is."""
    known = sorted({str(name) for name in known})
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]}?"
    return f"There is: {', '.join(known)}." if known else ""


def unknown_option(group: str, option: str, known: Iterable[str], what: str = "option") -> str:
    """`model=gru`: a value that is none of those there are."""
    return f"{group}={option}: there is no such {what}. {did_you_mean(option, known)}"


def unknown_setting(path: str, key: str, known: Iterable[str]) -> str:
    """`model.hiden_size`: a key that the class behind `path` does not take."""
    return f"{path}.{key} is not a setting of {path}. {did_you_mean(key, known)}"


def unknown_top(key: str, known: Iterable[str]) -> str:
    """`modle`: a name at the top of a configuration that is none."""
    return f"{key}: there is no such group or setting. {did_you_mean(key, known)}"


def unknown_head(key: str, top: str, known: Iterable[str]) -> str:
    """`modle.hidden_size`: the first name of a key on the command line is none."""
    return f"{key}: there is no group or setting {top}. {did_you_mean(top, known)}"


def unknown_leaf(key: str, known: Iterable[str], resuming: bool) -> str:
    """`model.hiden_size` on the command line: the last name of a key is none of those beside it."""
    parent, _, last = key.rpartition(".")
    hint = did_you_mean(last, known)
    if resuming:
        hint += " (What a saved run chose in a group cannot be changed when it goes on.)"
    return f"{key}: there is no setting {last}{f' of {parent}' if parent else ''}. {hint}"


def no_settings_below(key: str, top: str) -> str:
    """`forcing.decay.k` where nothing is chosen for `forcing/decay`."""
    parent = key.rpartition(".")[0]
    return f"{key}: {parent} has no settings as it is chosen here; another option of {top} may (see --help)"


def unknown_group(key: str, known: Iterable[str]) -> str:
    """`model/cel`: no folder of conf/."""
    return f"{key}: there is no such group. {did_you_mean(key, known)}"


def no_choice_in(key: str, top: str) -> str:
    """`model/cell` where the chosen model has no cell."""
    return f"{key}: the chosen {top} has nothing there to choose; another option of {top} may (see --help)"


def wants_plus(key: str) -> str:
    """`experiment=no_tf`."""
    return f"{key}: write it with a plus: +{key}=NAME"


def chosen_with_slash(path: str, option: str) -> str:
    """`model.cell=lstm`: a group below a group."""
    *group, last = path.split(".")
    return f"{path} is chosen with a slash: {'/'.join(group)}/{last}={option}"
