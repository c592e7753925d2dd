"""Whether a run can resume from a checkpoint, and a new run from the weights of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Timer

from lm.data.vocabulary import Vocab
from lm.models.interfaces import LanguageModel
from lm.runs.checkpoint import find, load_weights, read, vocabulary
from lm.system.errors import UserError


def refuse_spent_time(limit: Any, saved: dict[str, Any], where: Path) -> None:
    """Raise UserError if a run had all the time that `trainer.max_time` gives it before the checkpoint at hand."""
    allowed = Timer(limit).time_remaining() if limit else None
    spent = saved.get("callbacks", {}).get(Timer.__name__, {}).get("time_elapsed", {}).get("train", 0.0)
    if allowed is not None and spent >= allowed:
        raise UserError(
            f"trainer.max_time={limit} is used up: {where} has had {spent:.0f} s of training; give it more, or go on "
            "without a limit by trainer.max_time=null"
        )


def same_text(saved: dict[str, Any], vocab: Vocab, tokens: dict[str, int], where: Path) -> None:
    """Raise UserError if the text, of so many `tokens` a split, is not the one that the checkpoint was trained on."""
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
