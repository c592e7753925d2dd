"""The configuration of a resumed run: the checkpoint's configuration, with changes from the command line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from lm.config.trust import refuse_foreign
from lm.data.source import SPLITS
from lm.system.errors import UserError

FREE = ("trainer", "accelerator", "callbacks", "logger", "sampler", "free_running", "checkpoint", "trust", "dry")
"""Parts of a configuration that may change when a run resumes. The saved training state depends on all other parts."""

PLACES = tuple(f"data.{split}" for split in SPLITS)
"""Places of a run's text files. They may change too: the text itself is compared by its checksum."""


def merged(
    saved: dict[str, Any],
    typed: dict[str, Any],
    default: dict[str, Any],
    explicit: Iterable[str],
    where: Path,
    trusted: Collection[str] = (),
) -> dict[str, Any]:
    """The checkpoint's configuration, with changes from the command line.

    A value in `typed` counts as a change if it differs from `default`, or if its setting is in `explicit` or below a
    setting there. Raises UserError for a change that is not possible when a run resumes, and for code from outside this
    project that is neither in `trusted` nor typed.
    """
    saved = {**{part: default[part] for part in default.keys() - saved.keys()}, **saved}  # groups newer than it
    explicit = {name.replace("/", ".") for name in explicit}
    typed_flat, default_flat, result = dict(flat(typed)), dict(flat(default)), dict(flat(saved))
    typed_here = {
        key: any(f"{key}.".startswith(f"{name}.") for name in explicit) for key in {*typed_flat, *default_flat}
    }
    # What was typed comes first: what follows from it, such as model.last_size, would mislead in a message.
    for key in sorted(typed_here, key=lambda key: (not typed_here[key], key)):
        free = key.split(".")[0] in FREE or key in PLACES
        if key in PLACES and typed_flat.get(key) is None:
            continue
        if key not in typed_flat:
            if free:
                result.pop(key, None)
        elif typed_here[key] or key not in default_flat or typed_flat[key] != default_flat[key]:
            if not free and result.get(key) != typed_flat[key]:
                raise UserError(
                    f"checkpoint: {where} was trained with {key}={result.get(key)}, not {typed_flat[key]}: leave out "
                    "that setting to resume, or leave out checkpoint= to start a new run"
                )
            # A setting replaces all settings below it (callbacks.samples=null), and one above it.
            result = {other: value for other, value in result.items() if not f"{other}.".startswith(f"{key}.")}
            result = {other: value for other, value in result.items() if not f"{key}.".startswith(f"{other}.")}
            result[key] = typed_flat[key]
    config = nested(result)
    for part, node in config.items():
        refuse_foreign(node, part, trusted, typed.get(part))
    return config


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """Turn settings with dotted names, {"a.b": 1}, into nested settings, {"a": {"b": 1}}."""
    config: dict[str, Any] = {}
    for key, value in settings.items():
        *parents, last = key.split(".")
        node = config
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return config


def flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Turn nested settings, {"a": {"b": 1}}, into pairs of dotted name and value, ("a.b", 1)."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
