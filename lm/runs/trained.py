"""Loading a trained model from a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lm.config.build import build
from lm.config.trust import refuse_foreign
from lm.data.corpus import Corpus
from lm.data.vocabulary import Vocab
from lm.models.initial import Random
from lm.models.interfaces import LanguageModel
from lm.runs.checkpoint import find, load_weights, read, vocabulary
from lm.system.errors import UserError


@dataclass(frozen=True)
class Trained:
    """The contents of a checkpoint: the model in evaluation mode, its vocabulary, and the run's configuration."""

    model: LanguageModel
    vocab: Vocab
    config: dict[str, Any]
    path: Path
    trusted: tuple[str, ...] = ()

    def untrained(self) -> LanguageModel:
        """A copy of the model with its initial weights, in evaluation mode (`weights_from` is ignored).

        An `init` that counts words reads the training text again. Raises UserError if that text has changed.
        """
        init: Random = _build(self.config, "init", self.trusted) if "init" in self.config else Random()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config["seed"])
            model = _model(self.config, self.vocab, self.trusted)
            if init != Random():
                init.apply(model, corpus(self).ids["train"])
            return model.eval()


def load(path: str | Path, trusted: Iterable[str] = ()) -> Trained:
    """Load a trained model. `path` is a checkpoint file or a run's folder. Raises UserError if that fails.

    `trusted` names classes and functions outside this project that may run, as `package.module.Name`.
    """
    file = find(path)
    content = read(file)
    vocab = vocabulary(content)
    trusted = tuple(trusted)
    model = _model(content["config"], vocab, trusted)
    load_weights(model, content, file)
    model.eval()
    return Trained(model, vocab, content["config"], file, trusted)


def corpus(trained: Trained) -> Corpus:
    """Read again the texts that a model was trained on. Raises UserError if their vocabulary has changed."""
    data: Corpus = _build(trained.config, "data", trained.trusted)
    if data.vocab != trained.vocab:
        raise UserError(
            f"the text that {trained.path} was trained on has changed since: its vocabulary is different now. "
            "Restore the files, or score a text with text_file=FILE"
        )
    return data


def _model(config: dict[str, Any], vocab: Vocab, trusted: Collection[str]) -> LanguageModel:
    model: LanguageModel = _build(config, "model", trusted, {"vocab_size": len(vocab)})
    return model


def _build(
    config: dict[str, Any], group: str, trusted: Collection[str], available: dict[str, Any] | None = None
) -> Any:
    refuse_foreign(config[group], group, trusted)
    return build(config[group], group, available)
