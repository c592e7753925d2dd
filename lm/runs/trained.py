"""Loading a trained model from a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lm.config.build import build
from lm.config.trust import refuse_foreign
from lm.data.corpus import Corpus
from lm.data.encoded import checksum
from lm.data.text_size import TextSize
from lm.data.vocabulary import Vocab
from lm.evaluation.pairs import Judged, Pair, judged
from lm.evaluation.sentences import Sentence, score_sentences
from lm.models.initial import Random
from lm.models.interfaces import LanguageModel
from lm.runs.checkpoint import find, load_weights, read
from lm.runs.kept_vocabulary import gives_vocabulary, vocabulary, with_kept_tokeniser
from lm.runs.known_words import prompt_ids
from lm.sampling.generate import texts
from lm.sampling.sampler import Sampler
from lm.system.errors import UserError
from lm.system.files import absolute, moved_to


@dataclass(frozen=True)
class Trained:
    """The contents of a checkpoint: the model in evaluation mode, its vocabulary, and the run's configuration."""

    model: LanguageModel
    vocab: Vocab
    config: dict[str, Any]
    path: Path
    trusted: tuple[str, ...] = ()
    data_from: Path | None = None  # the folder to which the run's text files have moved
    checksums: Mapping[str, str] = field(default_factory=dict)  # of the ids of each split in training

    def untrained(self) -> LanguageModel:
        """A copy of the model with its initial weights, in evaluation mode (`weights_from` is ignored).

        An `init` that counts words reads the training text again. Raises UserError if that text has changed.
        """
        init: Random = _build(self.config, "init", self.trusted) if "init" in self.config else Random()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config["seed"])
            model = _model(self.config, self.vocab, self.trusted)
            if init != Random():
                init.apply(model, self.split_ids("train"))
            return model.eval()

    def score(self, texts: Iterable[str], **settings: Any) -> list[Sentence]:
        """Score sentences, each by itself; see `lm.evaluation.sentences.score_sentences` for the settings.

        Each result has `words`, `known`, `nats`, `bits` and `entropy`, a value for each word between white space and
        for the end, and `perplexity`.
        """
        return list(score_sentences(self.model, self.vocab, texts, **settings))

    def compare(self, good: str, bad: str) -> Judged:
        """Compare two sentences: nats of both, and `result`: right if the first is the more probable one."""
        return judged(Pair(1, "", good, bad), *self.score([good, bad], entropy=False))

    def sample(self, prompt: str | None = None, seed: int = 0, **settings: Any) -> list[str]:
        """Draw texts that continue a prompt; see `lm.sampling.Sampler` for the settings. Raises UserError for an
        unknown word."""
        ids = None if prompt is None else prompt_ids(self.vocab, prompt)
        return texts(self.model, Sampler(**settings), self.vocab, seed, ids)

    @cached_property
    def corpus(self) -> Corpus:
        """The run's corpus; it reads a text when it is needed. Its vocabulary may have changed since training."""
        available = {"vocab": self.vocab} if gives_vocabulary(self.config["data"]) else None
        corpus: Corpus = _build(self.config, "data", self.trusted, available)
        if self.data_from is not None:
            corpus.source.move_to(self.data_from)
        return corpus

    def split_size(self, split: str) -> TextSize:
        """The size of a split's text as it is read."""
        return self.corpus.split_size(split)

    def split_ids(self, split: str) -> np.ndarray:
        """The word ids [N] of a split of the run's corpus. Only this split's files have to be there.

        Raises UserError if the text cannot be read, or is not the text that the run read.
        """
        try:
            ids = self.corpus.split_ids(split, self.vocab)
        except UserError as error:
            raise UserError(
                f"{error}. {self.path} was trained with this text: if it has moved, name its folder: data_from=DIR"
            ) from None
        if (known := self.checksums.get(split)) is not None and checksum(ids) != known:
            where = ", ".join(map(str, self.corpus.source.files.get(split, ["the text found here"])))
            raise UserError(
                f"{where} is not the {split} text that {self.path} was trained with: it has changed since. Restore it, "
                "or name the folder of the old one, data_from=DIR, or score it as another text: text_file=FILE"
            )
        return ids


def load(
    path: str | Path,
    trusted: Iterable[str] = (),
    data_from: str | Path | None = None,
    data: Mapping[str, str | Sequence[str]] | None = None,
) -> Trained:
    """Load a trained model. Raises UserError if that fails.

    Args:
        path: a checkpoint file or a run's folder.
        trusted: classes and functions outside this project that may run, as `package.module.Name`.
        data_from: the folder to which the files of the run's text have moved.
        data: {split: files} for files that have moved, each to a place of its own.
    """
    file = find(path)
    content = read(file)
    config, trusted = content["config"], tuple(trusted)
    vocab = vocabulary(content, trusted)
    model = _model(config, vocab, trusted)
    load_weights(model, content, file)
    model.eval()
    folder = moved_to(data_from)
    if other := [split for split in data or {} if split not in config["data"]]:
        raise UserError(
            f"data.{other[0]}: the text of {file} is not given by single files; name its folder: data_from=DIR"
        )
    moved = {split: absolute(place) for split, place in (data or {}).items()}
    config = {**config, "data": with_kept_tokeniser({**config["data"], **moved}, content)}
    return Trained(model, vocab, config, file, trusted, folder, content.get("provenance", {}).get("data", {}))


def _model(config: dict[str, Any], vocab: Vocab, trusted: Collection[str]) -> LanguageModel:
    model: LanguageModel = _build(config, "model", trusted, {"vocab_size": len(vocab)})
    return model


def _build(
    config: dict[str, Any], group: str, trusted: Collection[str], available: dict[str, Any] | None = None
) -> Any:
    refuse_foreign(config[group], group, trusted)
    return build(config[group], group, available)
