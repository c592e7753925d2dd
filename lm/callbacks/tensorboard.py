"""What TensorBoard shows beside curves: samples, the embedding projector, hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from lm.data.vocab import Vocab
from lm.sampling import Sampler, generate


def tensorboards(trainer: pl.Trainer) -> Iterator[TensorBoardLogger]:
    return (logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger))


class TextSamples(pl.Callback):
    """After each epoch, text drawn from the model with the run's sampler, always from the same random seed."""

    def __init__(self, vocab: Vocab, sampler: Sampler, seed: int) -> None:
        self.vocab, self.sampler, self.seed = vocab, sampler, seed
        self.samples: list[str] = []  # the newest ones

    def draw(self, module: Any) -> list[str]:
        generator = torch.Generator().manual_seed(self.seed)
        ids = generate(module.model, self.sampler, self.vocab.eos, generator=generator)
        return [self.vocab.decode(row) for row in ids.tolist()]

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.samples = self.draw(module)
        for logger in tensorboards(trainer):
            for i, text in enumerate(self.samples):
                # Indented: Markdown shows it as it is, `<unk>` and line breaks included.
                block = "\n".join("    " + line for line in text.split("\n"))
                logger.experiment.add_text(f"sample/{i}", block, global_step=module.windows)


class EmbeddingProjector(pl.Callback):
    """At the end of training, the embeddings of the first `words` of the vocabulary, for the projector tab."""

    def __init__(self, vocab: Vocab, words: int = 10_000) -> None:
        self.vocab, self.words = vocab, words

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        vectors = module.model.embedding.weight[: self.words].detach().float().cpu()
        labels = list(self.vocab.words[: self.words])
        for logger in tensorboards(trainer):
            logger.experiment.add_embedding(vectors, metadata=labels, tag="embedding", global_step=module.windows)


class HyperParameters(pl.Callback):
    """The run's settings, beside the figures by which the HParams tab compares runs."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.settings = dict(flatten(config))

    def on_fit_start(self, trainer: pl.Trainer, module: Any) -> None:
        figures = {"best/valid_perplexity": float("nan"), "test/perplexity": float("nan")}
        for logger in tensorboards(trainer):
            logger.log_hyperparams(self.settings, figures)


def flatten(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as dotted names; lists as text."""
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flatten(value, name + ".")
        else:
            yield name, value if isinstance(value, (int, float, str, bool)) else str(value)
