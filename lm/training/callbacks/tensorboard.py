"""Callbacks for TensorBoard's pages of sample texts, embeddings and hyperparameters."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams

from lm.config.build import TARGET
from lm.data.vocabulary import Vocab
from lm.runs.resumed_config import flat
from lm.sampling import Sampler, texts
from lm.system.bounds import Count, bounded
from lm.training.curves import BY_TOKENS, BY_UPDATES, ONCE


def tensorboards(trainer: pl.Trainer) -> Iterator[TensorBoardLogger]:
    return (logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger))


class TextSamples(pl.Callback):
    """After each epoch, writes texts drawn from the model to TensorBoard, always with the same random seed."""

    def __init__(self, vocab: Vocab, sampler: Sampler, seed: int) -> None:
        self.vocab, self.sampler, self.seed = vocab, sampler, seed

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        samples = texts(module.model, self.sampler, self.vocab, self.seed)
        for logger in tensorboards(trainer):
            for i, text in enumerate(samples):
                # Indented, so that Markdown shows the text unchanged, with `<unk>` and line breaks.
                lines = [part for line in text.split("\n") for part in textwrap.wrap(line, 110) or [""]]
                block = "\n".join("    " + line for line in lines)
                logger.experiment.add_text(f"sample/{i}", block, global_step=module.windows)


class EmbeddingProjector(pl.Callback):
    """At the end of training, writes the embeddings of the first `words` words to TensorBoard's projector tab.

    If weights are averaged, the averaged embeddings are written, as in evaluation and checkpoints. Words are written as
    `visible` shows them.
    """

    @bounded("callbacks.projector")
    def __init__(self, vocab: Vocab, words: Count = 10_000) -> None:
        self.vocab, self.words = vocab, words

    def on_fit_end(self, trainer: pl.Trainer, module: Any) -> None:  # after the module's own on_train_end
        vectors = module.model.embedding.weight[: self.words].detach().float().cpu()
        labels = [visible(word) for word in self.vocab.words[: self.words]]
        for logger in tensorboards(trainer):
            # The projector's index is appended to. Delete that of an earlier start, else it lists the embedding twice.
            Path(logger.log_dir, "projector_config.pbtxt").unlink(missing_ok=True)
            logger.experiment.add_embedding(vectors, metadata=labels, tag="embedding", global_step=module.windows)


EMPTY_LOOKING = "\u115f\u1160\u2800\u3164\uffa0"
"""Characters that Unicode calls letters or symbols, but that show nothing."""


def visible(word: str) -> str:
    """A word as a visible label of one line: each character that cannot be seen becomes its number, such as U+0020.

    TensorBoard's page skips a label of white space only, so that all later labels would be at the wrong points. White
    space and control characters become numbers in every word. Combining and zero-width characters do so only in a word
    that shows nothing else, because beside letters they have their effect. The empty word becomes `(empty)`.
    """
    kinds = [unicodedata.category(character) for character in word]
    unseen = [kind[0] in "CMZ" or character in EMPTY_LOOKING for kind, character in zip(kinds, word, strict=True)]
    numbered = unseen if all(unseen) else [kind[0] == "Z" or kind in ("Cc", "Cs") for kind in kinds]
    shown = (f"U+{ord(one):04X}" if number else one for one, number in zip(word, numbered, strict=True))
    return "".join(shown) or "(empty)"


class HyperParameters(pl.Callback):
    """Writes settings and names of results to TensorBoard's HParams tab, and the layout of its Custom Scalars tab.

    Custom Scalars shows training and validation curves in one chart. In a sweep, the columns of HParams are the
    settings in `swept`; otherwise they are the run's main settings. `first_start` is false for a run that resumes in
    its own folder; then nothing is written.
    """

    FIGURES = (f"{ONCE}/best_valid_perplexity", "test/perplexity")
    PARTS = ("data", "model", "forcing", "optim", "tbptt", "regularisation", "seed")

    LAYOUT: ClassVar[dict[str, dict[str, list[Any]]]] = {
        "train and valid": {
            "perplexity": ["Multiline", ["train/perplexity", "valid/perplexity"]],
            "nats a token": ["Multiline", ["train/loss", "valid/loss"]],
        },
        "the same work, counted three ways": {
            "nats by windows": ["Multiline", ["train/loss"]],
            "nats by tokens": ["Multiline", [f"{BY_TOKENS}/train_loss"]],
            "nats by updates": ["Multiline", [f"{BY_UPDATES}/train_loss"]],
        },
    }

    def __init__(self, config: dict[str, Any], swept: list[str], first_start: bool = True) -> None:
        self.first_start = first_start
        parts = {part: config[part] for part in self.PARTS if part in config}
        typed = dict(override.lstrip("+").split("=", 1) for override in swept if "=" in override)
        self.settings: dict[str, Any] = {key: _number(value) for key, value in typed.items()} or dict(flatten(parts))

    def on_fit_start(self, trainer: pl.Trainer, module: Any) -> None:
        if not self.first_start:
            return
        # Only the names of the results: their values are written later, as ordinary points of a curve.
        summaries = hparams(self.settings, dict.fromkeys(self.FIGURES, math.nan))
        for logger in tensorboards(trainer):
            for summary in summaries:
                logger.experiment._get_file_writer().add_summary(summary)
            logger.experiment.add_custom_scalars(self.LAYOUT)


def _number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


def flatten(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Turn nested settings into pairs of dotted name and value. A list is given as text, a class as its name."""
    for name, value in flat(config):
        part, _, last = name.rpartition(".")
        if last == TARGET:
            yield part, str(value).rpartition(".")[2]
        elif value != {}:
            yield name, value if isinstance(value, (int, float, str, bool)) else str(value)
