"""Decides whether a run is new or resumes from a checkpoint, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig

from lm.config.build import build
from lm.config.compose import composed
from lm.config.dry_run import dry
from lm.config.hydra_job import plain, sweeping, typed_overrides
from lm.data import repeated_lines, unknown_tokens
from lm.data.corpus import Corpus
from lm.data.documents import starts_of
from lm.data.source import SPLITS
from lm.data.unknown_tokens import counted
from lm.data.vocabulary import Vocab
from lm.models.interfaces import LanguageModel
from lm.runs import resume
from lm.runs.checkpoint import find, read, read_to_resume
from lm.runs.kept_vocabulary import GIVEN, gives_vocabulary, vocabulary, with_kept_tokeniser
from lm.runs.result import Result
from lm.runs.resumed_config import merged
from lm.runs.run_folder import RunFolder
from lm.system.files import absolute
from lm.system.terminal import say, say_once

SHOWN = 3  # files of a text that are named each
LIMITS = ("max_epochs", "max_time", "limit_train_batches")
"""Settings of the trainer that say how much training there is."""


@dataclass(frozen=True)
class Asked:
    """The request on the command line: the configuration, and settings that are not part of a run."""

    config: dict[str, Any]
    checkpoint: str | None
    trusted: list[str]
    overrides: list[str]  # as typed
    dry: bool = False


@dataclass(frozen=True)
class Start:
    """A run's configuration, and its start: `file` is None for a new run, else a checkpoint with contents `saved`."""

    config: dict[str, Any]
    file: Path | None = None
    saved: dict[str, Any] = field(default_factory=dict)
    here: bool = False  # the checkpoint is in this run's folder
    trusted: Sequence[str] = ()


def read_settings(cfg: DictConfig, overrides: list[str] | None) -> Asked:
    """The request of the command line, with the configuration in plain containers.

    Paths are made absolute, because a checkpoint may be used from any folder.
    """
    config = plain(cfg)
    checkpoint, trusted, is_dry = config.pop("checkpoint", None), config.pop("trust", []), config.pop("dry", False)
    config = dry(config) if is_dry else config
    data = config["data"] if isinstance(config["data"], dict) else {}
    for place in (*SPLITS, *GIVEN):
        if data.get(place) not in (None, MISSING):
            data[place] = absolute(data[place])
    tokeniser = data.get("tokeniser")
    if isinstance(tokeniser, dict) and tokeniser.get("path") not in (None, MISSING):
        tokeniser["path"] = absolute(tokeniser["path"])
    if config.get("weights_from"):
        config["weights_from"] = absolute(config["weights_from"])
    return Asked(config, checkpoint, trusted, typed_overrides() if overrides is None else overrides, is_dry)


def choose_start(asked: Asked, folder: RunFolder, result: Result) -> Start:
    """Start a new run, or resume from a checkpoint; configuration, seed, steps and overrides are put into `result`."""
    file = folder.starting_point(asked.checkpoint, sweeping())
    if file is None:
        return Start(asked.config, trusted=asked.trusted)
    saved, here = read_to_resume(file), folder.holds(file)
    folder.await_later_curves()
    explicit = [override.partition("=")[0].lstrip("+~") for override in asked.overrides]
    config = merged(saved["config"], asked.config, plain(composed("train")), explicit, file, asked.trusted)
    if asked.dry:
        config["trainer"]["max_epochs"] = saved["training"]["epochs"] + 1  # else nothing is left to train
    before = folder.earlier.get("resumed_at", []) if here else []
    result.config, result.seed, result.resumed_at = config, config["seed"], [*before, saved["global_step"]]
    result.overrides = folder.overrides(asked.overrides, here)
    return Start(config, file, saved, here, asked.trusted)


def build_corpus(start: Start) -> Corpus:
    """The run's corpus. A run that resumes has the tokeniser of a file in its checkpoint."""
    data = start.config["data"]
    settings = data if start.file is None else with_kept_tokeniser(data, start.saved)
    corpus: Corpus = build(settings, "data", {"vocab": given_vocabulary(start)})
    return corpus


def given_vocabulary(start: Start) -> Vocab | None:
    """The vocabulary that `data.vocab_from` or `data.vocab_file` gives; None if it is chosen from the training text.

    A run that resumes has it in its checkpoint. None also for a new run's `data.vocab_file`, which `data` reads itself.
    """
    data = start.config["data"]
    if start.file is not None:
        return vocabulary(start.saved, start.trusted) if gives_vocabulary(data) else None
    return vocabulary_of_another_run(data, start.trusted)


def vocabulary_of_another_run(data: Mapping[str, Any], trusted: Sequence[str] = ()) -> Vocab | None:
    """The vocabulary of the run `data.vocab_from`; None if that is not set."""
    if data.get("vocab_from") is None:
        return None
    return vocabulary(read(find(data["vocab_from"], setting="data.vocab_from")), trusted)


def is_kept(start: Start, folder: RunFolder) -> bool:
    """Whether this run is an already finished job of a sweep. Raises UserError if its folder holds another run."""
    if not (sweeping() and folder.finished):
        return False
    if folder.earlier["config"] != start.config:
        if start.file is None:
            raise folder.taken()
        return False
    say(f"skipped: {folder.path} is already finished")
    return True


def say_start(start: Start, asked: Asked, folder: RunFolder) -> None:
    """Print from which window the run resumes, if it does.

    Raises UserError if the run has already used all of `trainer.max_time`.
    """
    if asked.dry:
        say("dry run: tiny sizes, two windows of each split, on the processor")
    if start.file is None:
        new = ", which holds no checkpoint yet: starting a new run" if asked.checkpoint == "last" else ""
        say(f"run folder: {folder.path}{new}")
        return
    resume.refuse_spent_time(start.config["trainer"].get("max_time"), start.saved, start.file)
    say(f"resuming from {start.file} at window {start.saved['training']['windows']:,}")
    for limit in LIMITS:
        now, before = (one["trainer"].get(limit) for one in (start.config, start.saved["config"]))
        if now != before:
            say(
                f"trainer.{limit} was {before}, is now {now}: learning rates that depend on the training left are "
                "computed again"
            )


def say_texts(corpus: Corpus, model: LanguageModel) -> None:
    """Print what is read, and the sizes of vocabulary and model. Warn if many tokens are unknown."""
    counts = {split: (tokens, corpus.unknown[split]) for split, tokens in corpus.tokens.items()}
    for split, (tokens, unknown) in counts.items():
        count = len(starts_of(corpus.ids[split]))
        among = f", {count:,} document{'' if count == 1 else 's'}" if corpus.source.documents else ""
        say(f"{split} text: {counted(tokens, unknown)}{among}{_places(corpus.source.files.get(split, []))}")
    say(f"vocabulary: {len(corpus.vocab):,} {corpus.vocab.tokeniser.unit}s; model: {model.parameter_count:,} weights")
    texts = {f"the {split} text": count for split, count in counts.items()}
    many = unknown_tokens.warning(corpus.vocab, texts, corpus.choice)
    for warning in (many, repeated_lines.warning(corpus.encoded.repeated)):
        if warning is not None:
            (say_once if sweeping() else say)(warning)


def _places(files: Sequence[Path]) -> str:
    """The files of a text, in the order in which they are read; of many files the first two and the last."""
    if len(files) <= SHOWN:
        return f", from {', '.join(map(str, files))}" if files else ""
    return f", from {len(files):,} files: {files[0]}, {files[1].name}, ..., {files[-1].name}"
