"""Reads the inputs of the commands: a checkpoint, a precision, words and texts."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lm.config.hydra_job import checked, containers
from lm.config.schemas import Accelerator
from lm.data.plain_text import decoded, normalised, with_last_line_end
from lm.data.text_file import TextFile
from lm.runs.trained import Trained, load
from lm.system.devices import device
from lm.system.errors import UserError
from lm.system.files import writable


def load_trained(
    cfg: DictConfig, path: str | Path | None = None, files: tuple[str, ...] = ("out", "per_token")
) -> Trained:
    """Load the model from the setting `checkpoint`, or from one `path` of several, onto its device.

    `files`: settings that name files to write. Raises UserError for any invalid setting.
    """
    checked(cfg)
    if OmegaConf.is_missing(cfg, "checkpoint"):
        raise UserError("checkpoint is missing; name a checkpoint file or a run's folder: checkpoint=PATH")
    if cfg.checkpoint == "last":
        raise UserError("checkpoint=last is for train.py; name a checkpoint file or a run's folder: checkpoint=PATH")
    for name in files:
        if cfg.get(name):
            writable(cfg[name], name)  # checked before the work is done
    if "accelerator" in cfg and Accelerator(**containers(cfg.accelerator)).data_parallel:
        raise UserError("accelerator: this command uses one device, only train.py several: leave accelerator=ddp out")
    moved = {split: file for split, file in cfg.get("data", {}).items() if file is not None}
    trained = load(path or cfg.checkpoint, cfg.trust, cfg.get("data_from"), moved)
    if "accelerator" in cfg:
        trained.model.to(device("cpu" if cfg.get("dry") else cfg.accelerator.accelerator))
    return trained


def asked_precision(cfg: DictConfig, *known: str) -> str:
    """The setting `accelerator.precision` (`auto` means fp32). Raises UserError for a value that is not in `known`."""
    precision = str(cfg.accelerator.precision)
    if precision not in known:
        raise UserError(f"accelerator.precision={precision}: choose one of {', '.join(known)}")
    if precision == "int8" and device(cfg.accelerator.accelerator).type != "cpu":
        raise UserError("accelerator.precision=int8 works only on the CPU: choose accelerator=cpu too")
    return precision


def asked_text(given: str | None, file: str | None, name: str) -> str | None:
    """The text given on the command line, or read from a file or standard input (`-`); None if none is given.

    The last line of a file gets an end if it lacks one; a text from the command line stays as it is. Raises UserError
    if both are given, or the text cannot be read.
    """
    if given is not None and file is not None:
        raise UserError(f"{name} and {name}_file are both given; choose one")
    if file is None:
        return None if given is None else normalised(given)
    if file == "-" and sys.stdin is None:
        raise UserError(f"{name}_file=-: standard input is closed; name a file")
    if file == "-":
        return with_last_line_end(decoded(sys.stdin.buffer.read(), f"{name}_file: standard input"))
    path = Path(file).expanduser()
    if path.is_dir() or not path.exists():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise UserError(f"{name}_file: {file} {what}; check the name, or use - for standard input")
    with TextFile(path, f"{name}_file").opened() as opened:
        return with_last_line_end(decoded(opened.read(), f"{name}_file: {file}"))
