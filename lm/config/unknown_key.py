"""All messages about an unknown key, setting, group or option; they suggest the nearest known name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'Did you mean x?' for the nearest spelling, else the list of known names."""
    known = sorted({str(name) for name in known})
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Choose from: {', '.join(known)}." if known else ""


def unknown_option(group: str, option: str, known: Iterable[str], what: str = "option") -> str:
    """`model=gru`: a value that is not one of the options."""
    return f"{group}={option}: there is no such {what}. {did_you_mean(option, known)}"


def unknown_setting(path: str, key: str, known: Iterable[str]) -> str:
    """`model.hiden_size`: a key that the class of `path` does not take."""
    return f"{path}.{key} is not a setting of {path}. {did_you_mean(key, known)}"


def unknown_top(key: str, known: Iterable[str]) -> str:
    """`modle`: an unknown name at the top level of a configuration."""
    return f"{key}: there is no such group or setting. {did_you_mean(key, known)}"


def unknown_head(key: str, top: str, known: Iterable[str]) -> str:
    """`modle.hidden_size`: the first name of a key on the command line is unknown."""
    return f"{key}: there is no group or setting {top}. {did_you_mean(top, known)}"


def unknown_leaf(key: str, known: Iterable[str], resuming: bool) -> str:
    """`model.hiden_size` on the command line: the last name of a key is unknown."""
    parent, _, last = key.rpartition(".")
    hint = did_you_mean(last, known)
    if resuming:
        hint += " (Settings stored in a checkpoint cannot change on resume.)"
    return f"{key}: there is no setting {last}{f' of {parent}' if parent else ''}. {hint}"


def no_settings_below(key: str, top: str) -> str:
    """`forcing.decay.k` if no option of `forcing/decay` is chosen."""
    parent = key.rpartition(".")[0]
    return f"{key}: {parent} has no settings here; another option of {top} may have them (see --help)"


def unknown_group(key: str, known: Iterable[str]) -> str:
    """`model/cel`: not a folder of conf/."""
    return f"{key}: there is no such group. {did_you_mean(key, known)}"


def no_choice_in(key: str, top: str) -> str:
    """`model/cell` if the chosen model has no cell."""
    return f"{key}: the chosen {top} has no such group; another option of {top} may have it (see --help)"


def wants_plus(key: str) -> str:
    """`experiment=no_tf` without the plus."""
    return f"{key}: write it with a plus: +{key}=NAME"


def chosen_with_slash(path: str, option: str) -> str:
    """`model.cell=lstm`: a group within a group."""
    *group, last = path.split(".")
    return f"{path} is chosen with a slash: {'/'.join(group)}/{last}={option}"
