"""Going on from a checkpoint: which one, with which settings, and what of the run's folder still holds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.callbacks import Timer

from lm.checkpoint import BEST, EVENTS, FOLDER, INITIAL, LAST, find, load_weights, read, vocabulary
from lm.data.vocab import Vocab
from lm.errors import UserError
from lm.files import whole
from lm.models.base import LanguageModel
from lm.trust import refuse_foreign

FREE = ("trainer", "accelerator", "callbacks", "logger", "sampler", "checkpoint", "trust")
"""Parts of a configuration that a run may change when it goes on; the others are what the saved state stands for."""


def merged(
    saved: dict[str, Any],
    typed: dict[str, Any],
    default: dict[str, Any],
    explicit: Iterable[str],
    where: Path,
    trusted: Collection[str] = (),
) -> dict[str, Any]:
    """The checkpoint's configuration, changed where the command line says so.

    Said is what differs from the default configuration, and all below the names in `explicit`. Raises UserError where
    the result would no longer be the run that was saved, or would run code that is neither `trusted` nor typed.
    """
    saved = {**{part: default[part] for part in default.keys() - saved.keys()}, **saved}  # groups younger than it
    explicit = {name.replace("/", ".") for name in explicit}
    typed_flat, default_flat, result = dict(flat(typed)), dict(flat(default)), dict(flat(saved))
    for key in {*typed_flat, *default_flat}:
        free = key.split(".")[0] in FREE
        if key not in typed_flat:
            if free:
                result.pop(key, None)
        elif (
            any(f"{key}.".startswith(f"{name}.") for name in explicit)
            or key not in default_flat
            or typed_flat[key] != default_flat[key]
        ):
            if not free and result.get(key) != typed_flat[key]:
                raise UserError(
                    f"checkpoint: {where} was trained with {key}={result.get(key)}, not {typed_flat[key]}: leave that "
                    "setting out to go on, or leave checkpoint= out to start afresh"
                )
            # A setting takes the place of all below it (callbacks.samples=null), and of one above it.
            result = {other: value for other, value in result.items() if not f"{other}.".startswith(f"{key}.")}
            result = {other: value for other, value in result.items() if not f"{key}.".startswith(f"{other}.")}
            result[key] = typed_flat[key]
    config = nested(result)
    for part, node in config.items():
        refuse_foreign(node, part, trusted, typed.get(part))
    return config


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """Dotted names as nested settings: the inverse of `flat`."""
    config: dict[str, Any] = {}
    for key, value in settings.items():
        *parents, last = key.split(".")
        node = config
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return config


def flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as dotted names."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def random_state(device: torch.device) -> dict[str, Any]:
    """Where torch's random numbers have come to, on the CPU and on the run's graphics cards."""
    cards = range(torch.cuda.device_count()) if device.type == "cuda" else ()
    apple = {"mps_rng": torch.mps.get_rng_state()} if device.type == "mps" else {}
    return {"rng": torch.get_rng_state(), "cuda_rng": [torch.cuda.get_rng_state(i) for i in cards], **apple}


def restore_random_state(saved: dict[str, Any]) -> None:
    """Go on from what `random_state` gave."""
    torch.set_rng_state(saved["rng"])
    for i, rng in enumerate(saved["cuda_rng"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(rng, i)
    if "mps_rng" in saved and torch.backends.mps.is_available():
        torch.mps.set_rng_state(saved["mps_rng"])


def refuse_spent_time(limit: Any, saved: dict[str, Any], where: Path) -> None:
    """Raise UserError if a run had all the time that `trainer.max_time` gives it before the checkpoint at hand."""
    allowed = Timer(limit).time_remaining() if limit else None
    spent = saved.get("callbacks", {}).get(Timer.__name__, {}).get("time_elapsed", {}).get("train", 0.0)
    if allowed is not None and spent >= allowed:
        raise UserError(
            f"trainer.max_time={limit} is used up: {where} has had {spent:.0f} s of training; give it more, or go on "
            "without a limit by trainer.max_time=null"
        )


def same_text(saved: dict[str, Any], vocab: Vocab, ids: dict[str, np.ndarray], where: Path) -> None:
    """Raise UserError if the text is not the one that the checkpoint was trained on."""
    tokens = {split: len(part) for split, part in ids.items()}
    if vocabulary(saved) != vocab or saved["tokens"] != tokens:
        raise UserError(
            f"checkpoint: the text that {where} was trained on has changed since (its vocabulary or its length); "
            "restore the files, or start afresh without checkpoint="
        )


def take_weights(model: LanguageModel, path: str, vocab: Vocab) -> None:
    """Let a new run's model start from a checkpoint's weights. Raises UserError where they do not fit it."""
    file = find(path)
    saved = read(file)
    if vocabulary(saved) != vocab:
        raise UserError(
            f"weights_from: {file} was trained with another vocabulary; choose the data that it was trained on"
        )
    try:
        load_weights(model, saved, file)
    except UserError:
        raise UserError(
            f"weights_from: the weights of {file} do not fit this model; choose the model settings it was trained with"
        ) from None


def bring_along(start: Path, run_dir: Path) -> None:
    """A run that goes on in another folder takes what it starts from along, so that killed at once it can go on too,
    the best checkpoint so far, which may stay the best, and the embedding that it began with."""
    brought = {start.with_name(BEST): run_dir / FOLDER / BEST, start.parent.parent / INITIAL: run_dir / INITIAL}
    brought[start] = run_dir / FOLDER / LAST
    for source, target in brought.items():
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole(target, "free some space or choose another folder with hydra.run.dir=DIR") as aside:
                shutil.copyfile(source, aside)


def settle_events(run_dir: Path, sizes: dict[str, int]) -> None:
    """Take back the curve points that the run will write again: cut each event file to its size at the checkpoint.

    A file that the checkpoint does not know came later, or from a start that never reached one, and goes.
    """
    for path in run_dir.glob(EVENTS):
        if path.name in sizes:
            os.truncate(path, sizes[path.name])
        else:
            path.unlink()
