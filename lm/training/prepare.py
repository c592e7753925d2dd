"""Builds the parts of a run, from settings to a trainer that is ready to start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch

from lm.config.build import build
from lm.config.hydra_job import sweeping, typed_overrides
from lm.config.schemas import TBPTT, Accelerator
from lm.data.corpus import Corpus
from lm.models.cells.lstm import check_recurrence, choose_recurrence
from lm.models.interfaces import LanguageModel
from lm.runs import resume
from lm.runs.checkpoint import Description, load_weights
from lm.runs.provenance import provenance
from lm.runs.start import Start, build_corpus, say_texts
from lm.system.devices import device
from lm.system.memory import keep_freed_memory
from lm.system.precision import allow_tf32, training_precision
from lm.system.ranks import ALONE, Ranks
from lm.system.signals import StopRequest
from lm.system.terminal import say
from lm.training.data_parallel import ranks_device
from lm.training.module import LanguageModule
from lm.training.run_context import RunContext
from lm.training.trainer import make_module, make_trainer


@dataclass(frozen=True)
class Run:
    """The parts of a run that is ready to start."""

    device: torch.device
    precision: str | int | None
    corpus: Corpus
    context: RunContext
    trainer: pl.Trainer
    module: LanguageModule


def prepare(start: Start, path: Path, stop: StopRequest, begin: Callable[[], None], ranks: Ranks = ALONE) -> Run:
    """Choose the device; build the corpus, the model and Lightning's parts. Nothing in the run's folder `path` changes.

    Every rank prepares the same, but for its share of the columns.
    """
    config, accelerator = start.config, Accelerator(**start.config["accelerator"])
    # The device first, so that its error comes before anything is built.
    on = ranks_device(ranks) if ranks.size > 1 else device(accelerator.accelerator)
    precision, line = training_precision(on.type, accelerator.precision, config["forcing"].get("update", "window"))
    check_recurrence(accelerator.recurrence, on.type)
    say(line)
    say_ranks(ranks, config["data"]["batch_size"])
    allow_tf32(precision != "32-true")
    keep_freed_memory()
    pl.seed_everything(config["seed"], verbose=False)
    corpus = build_corpus(start)
    if ranks.local_rank == 0:
        corpus.prepare(stop.obey)
    ranks.wait()  # the others find the encoded text
    corpus.prepare(stop.obey)
    if TBPTT(**config["tbptt"]).random_length:
        corpus.randomise_windows(config["seed"])
    corpus.train.keep(ranks.share(config["data"]["batch_size"]))
    model = make_model(start, corpus)
    choose_recurrence(model, accelerator.recurrence)
    say_texts(corpus, model)
    sampler = build(config["sampler"], "sampler")
    sampler.banned(corpus.vocab)  # so that an unknown word is reported now, not after an epoch
    about = Description(corpus.vocab, config, corpus.tokens, provenance(on, corpus.encoded.checksums, ranks.size))
    swept, place = typed_overrides() if sweeping() else [], str(path)
    context = RunContext(
        place, place, corpus.vocab, config, about, stop, sampler, config["seed"], not start.here, swept
    )
    trainer = make_trainer(config, context, precision, begin, ranks)
    return Run(on, precision, corpus, context, trainer, make_module(config, corpus, model, trainer, ranks))


def say_ranks(ranks: Ranks, columns: int) -> None:
    if ranks.size > 1:
        where = "on a card" if ranks.on_cards else f"on {counted_threads()} of the processor"
        say(f"training with {ranks.size} processes, each {where} and with {columns // ranks.size} of {columns} columns")


def counted_threads() -> str:
    count = torch.get_num_threads()
    return f"{count} thread{'' if count == 1 else 's'}"


def make_model(start: Start, corpus: Corpus) -> LanguageModel:
    """The model with a checkpoint's weights, another run's, or new ones. Raises UserError if weights do not fit."""
    config, ids = start.config, corpus.ids["train"]
    model: LanguageModel = build(config["model"], "model", {"vocab_size": len(corpus.vocab)})
    model.head.prepare(torch.from_numpy(corpus.encoded.counts))
    if start.file is not None:
        resume.same_text(start.saved, corpus, start.file)
        load_weights(model, start.saved, start.file)  # Lightning does it again; here the error message is clear
    elif config.get("weights_from"):
        resume.take_weights(model, config["weights_from"], corpus.vocab)
    else:
        build(config["init"], "init").apply(model, ids)
    return model
