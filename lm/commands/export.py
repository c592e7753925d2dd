"""`export.py`: writes a model to ship, as safetensors or as an ONNX step."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lm.commands.inputs import load_trained
from lm.config.unknown_key import unknown_option
from lm.runs.checkpoint import FOLDER, read
from lm.runs.exported import CARD, WEIGHTS, write_exported
from lm.runs.model_card import AS_CHECKPOINT, AS_STEP, model_card
from lm.runs.result import read_result
from lm.runs.trained import Trained, load
from lm.system.errors import UserError

FORMATS = ("safetensors", "onnx")


def export(cfg: DictConfig) -> None:
    """Write the model of `cfg.checkpoint` into the folder `cfg.out`, and say what it holds.

    Raises UserError for a folder that holds anything, and for what the format cannot express.
    """
    if cfg.format not in FORMATS:
        raise UserError(unknown_option("format", cfg.format, FORMATS, "format"))
    trained = load_trained(cfg, files=())
    if OmegaConf.is_missing(cfg, "out"):
        raise UserError("out is missing; name a new folder for the model: out=DIR")
    folder = Path(cfg.out).expanduser()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"out: {folder} exists and is not an empty folder; nothing is overwritten: name a new one")
    was_there = folder.is_dir()
    try:
        _write(trained, folder, cfg.format)
    except BaseException:  # so that the same command can be given again
        shutil.rmtree(folder, ignore_errors=True)
        if was_there:
            folder.mkdir()
        raise
    for file in sorted(folder.iterdir()):
        print(f"{file.stat().st_size:>12,} bytes  {file}")


def _write(trained: Trained, folder: Path, form: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out: cannot create {folder}: {error.strerror}; name another folder") from None
    content = read(trained.path)
    if form == "onnx":
        from lm.runs.exported_onnx import write_onnx  # its packages are an extra

        card = model_card(trained.model, trained.vocab, content, _result(trained.path), AS_STEP)
        write_onnx(folder, trained.model, content["vocab"], card)
        return
    if trained.path.suffix == ".safetensors":  # exported before: its card has the figures
        card = (trained.path.parent / CARD).read_text(encoding="utf-8")
    else:
        card = model_card(trained.model, trained.vocab, content, _result(trained.path), AS_CHECKPOINT)
    write_exported(folder, trained.model, content, card)
    again = load(folder, trained.trusted)
    before, after = trained.model.state_dict(), again.model.state_dict()
    if again.vocab != trained.vocab or any(not before[name].equal(after[name]) for name in before):
        raise UserError(f"out: {folder / WEIGHTS} differs from what was written; choose another disk")


def _result(checkpoint: Path) -> dict[str, Any] | None:
    """result.json of the run, if the checkpoint is the one that its figures are of."""
    checkpoint = checkpoint.resolve()
    if checkpoint.parent.name != FOLDER:
        return None
    result = read_result(checkpoint.parent.parent)
    of_best = Path(str((result.get("best") or {}).get("checkpoint"))).name == checkpoint.name
    return result if of_best and result.get("status") == "completed" else None
