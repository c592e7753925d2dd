"""Checks before a run resumes from a checkpoint, or a new run starts from another run's weights."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Timer

from lm.data.corpus import Corpus
from lm.data.vocabulary import Vocab
from lm.data.vocabulary_choice import differing
from lm.models.interfaces import LanguageModel
from lm.runs.checkpoint import find, load_weights, read
from lm.runs.classic_weights import foreign_content, take_classic_weights
from lm.runs.kept_vocabulary import has_vocabulary, vocabulary
from lm.system.errors import UserError


def refuse_spent_time(limit: Any, saved: dict[str, Any], where: Path) -> None:
    """Raise UserError if a run had used all its time, `limit`, when the checkpoint `saved` was written."""
    allowed = Timer(limit).time_remaining() if limit else None
    spent = saved.get("callbacks", {}).get(Timer.__name__, {}).get("time_elapsed", {}).get("train", 0.0)
    if allowed is not None and spent >= allowed:
        raise UserError(
            f"trainer.max_time={limit} is used up: {where} has had {spent:.0f} s of training; raise the limit, or "
            "resume without one: trainer.max_time=null"
        )


def same_text(saved: dict[str, Any], corpus: Corpus, where: Path) -> None:
    """Raise UserError if a checkpoint's vocabulary or the ids of one of its splits differ from those of `corpus`."""
    before, now = saved["provenance"]["data"], corpus.encoded.checksums
    if changed := [name for name in now if before.get(name) != now[name]]:
        raise UserError(
            f"checkpoint: the text that {where} was trained on has changed since ({', '.join(changed)}): restore the "
            "files; or name their new places, data.train=FILE and so on; or start a new run without checkpoint="
        )


def take_weights(model: LanguageModel, path: str, vocab: Vocab) -> None:
    """Load a checkpoint's weights, or another program's, into a new run's model.

    Raises UserError if they do not fit.
    """
    file = find(path, setting="weights_from")
    try:
        saved = read(file)
    except UserError:
        if (weights := foreign_content(file)) is None:
            raise
        take_classic_weights(model, weights, file, vocab)
        return
    if not has_vocabulary(saved, vocab):
        with suppress(UserError):  # a tokeniser from elsewhere is not built here
            path = f"{path} {differing(vocabulary(saved).tokeniser, vocab.tokeniser)}".rstrip()
        raise UserError(
            f"weights_from: {file} was trained with another vocabulary; choose the data that it was trained on, or use "
            f"its vocabulary for this text: data=text data.vocab_from={path}"
        )
    try:
        load_weights(model, saved, file)
    except UserError:
        raise UserError(
            f"weights_from: the weights of {file} do not fit this model; use the model settings of that run"
        ) from None
