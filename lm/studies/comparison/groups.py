"""Groups of runs that differ only in their seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lm.data.source import SPLITS
from lm.runs.kept_vocabulary import GIVEN
from lm.studies.comparison.reading import Run

BESIDE = ("callbacks", "logger", "sampler", "seed", "checkpoint")
"""Parts of a configuration that may differ within a group: the seed, and what does not change the trained model."""
PLACES = (*SPLITS, *GIVEN)
LONGEST_NAME = 48


@dataclass(frozen=True)
class Group:
    """A group: runs with the same settings and different seeds."""

    name: str
    runs: tuple[Run, ...]


def grouped(runs: list[Run]) -> list[Group]:
    """Group the runs by settings, in order of appearance. A group has each seed once; repeats form new groups."""
    groups: list[list[Run]] = []
    for run in runs:
        own = same_settings(run)
        fitting = (g for g in groups if same_settings(g[0]) == own and run.seed not in {r.seed for r in g})
        home = next(fitting, None)
        if home is None:
            groups.append([run])
        else:
            home.append(run)
    return [Group(name, tuple(members)) for name, members in zip(names(groups), groups, strict=True)]


def same_settings(run: Run, without: str = "") -> str:
    """The settings of a run as a text that is equal for runs of one group; `without` a setting, such as `optim.lr`."""
    config: dict[str, Any] = {key: value for key, value in run.config.items() if key not in BESIDE}
    config["accelerator"] = run.result.get("precision")  # as it was used: `auto` differs from machine to machine
    config["trainer"] = {k: v for k, v in config.get("trainer", {}).items() if k != "log_every_n_steps"}
    # A file's place says nothing about its text: the checksums do.
    data = {key: value for key, value in config.get("data", {}).items() if key not in PLACES}
    config["data"] = [data, run.result.get("provenance", {}).get("data")]
    part, _, key = without.partition(".")
    if part in config:
        config[part] = {name: value for name, value in config[part].items() if name != key}
    return json.dumps(config, sort_keys=True)


def names(groups: list[list[Run]], beside: tuple[str, ...] = ()) -> list[str]:
    """Short names of groups, from the overrides that differ between groups; without them, the folders' names.

    `beside`: settings that are left out, as the seed is.
    """
    left_out = {"seed", *beside}
    typed = [
        [o.lstrip("+") for o in g[0].result.get("overrides") or [] if o.split("=")[0] not in left_out] for g in groups
    ]
    own = [[o for o in mine if any(o not in other for other in typed)] for mine in typed]
    # A group that typed nothing of its own has what it left as it was.
    keys = list(dict.fromkeys(o.partition("=")[0] for mine in own for o in mine))
    own = [
        mine or [f"{key}={value}" for key in keys if (value := flat(group[0].config).get(key)) is not None]
        for mine, group in zip(own, groups, strict=True)
    ]
    # `forcing=teacher forcing.update=token` is too long for sentences; use `teacher token` where such names all differ.
    for found in ([" ".join(map(_value, mine)) for mine in own], [" ".join(mine) for mine in own]):
        if len(groups) > 1 and len(set(found)) == len(groups) and all(0 < len(name) <= LONGEST_NAME for name in found):
            return found
    return [group[0].name if len(group) == 1 else f"{group[0].name} and {len(group) - 1} more" for group in groups]


def differing(groups: Sequence[Group]) -> dict[str, list[Any]]:
    """The settings that differ between groups, each with a value for each group (None: it has no such setting)."""
    configs = [
        flat({key: value for key, value in group.runs[0].config.items() if key not in BESIDE}) for group in groups
    ]
    keys = dict.fromkeys(key for config in configs for key in config)
    found = {key: [config.get(key) for config in configs] for key in keys}
    return {key: values for key, values in found.items() if any(value != values[0] for value in values)}


def flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """The leaves of a tree by their dotted names, lists as JSON."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{key}.")
        else:
            found[before + key] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
    return found


def _value(override: str) -> str:
    """Shorten an override: `forcing.update=token` becomes `token`, but `model.lr=0.1` becomes `lr=0.1`.

    Numbers, booleans and lists keep the last part of the key.
    """
    key, _, value = override.partition("=")
    return value if value[:1].isalpha() and value not in ("true", "false", "null") else f"{key.split('.')[-1]}={value}"
