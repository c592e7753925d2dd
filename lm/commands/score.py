"""`score.py`: scores the lines of a file, each by itself: sentences, pairs of sentences, or n-best lists."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from omegaconf import DictConfig, OmegaConf

from lm.commands.inputs import asked_precision
from lm.commands.lines import lines_of
from lm.commands.mixture import evaluator_of, keeper, load_members, predictor_of
from lm.commands.score_formats import Lines, Score, Write, in_words, lists, pairs_of_each, pairs_of_sentences, sentences
from lm.config.hydra_job import containers
from lm.config.unknown_key import unknown_option
from lm.data.text_file import TextFile
from lm.evaluation import Dynamic, Evaluator, Static
from lm.evaluation.adaptive import adapting
from lm.evaluation.evaluator import number
from lm.evaluation.sentence_figures import PER_NAT
from lm.evaluation.sentences import score_sentences
from lm.runs.trained import Trained
from lm.system.errors import UserError
from lm.system.files import whole, writable, write_json
from lm.system.memory import keep_freed_memory
from lm.system.terminal import bar, say

FORMATS = {"sentences": sentences, "pairs": pairs_of_sentences, "nbest": lists}
OF_LISTS = {"best": None, "weight": "1.0", "penalty": 0.0, "reference": None}
"""Settings of n-best lists alone, with their defaults."""


def score(cfg: DictConfig) -> None:
    """Write a table with a row for each word, pair or hypothesis, as the lines are scored, then a summary."""
    asked_precision(cfg, "auto", "32-true")
    for name, known in (("format", [*FORMATS]), ("unit", [*PER_NAT])):
        if cfg[name] not in known:
            raise UserError(unknown_option(name, cfg[name], known, name))
    for name, default in OF_LISTS.items():
        if cfg.format != "nbest" and cfg[name] != default:
            raise UserError(f"{name} is a setting of format=nbest; leave it out, or choose that format")
    _refuse_the_same_file(cfg)
    file = Path(str(cfg.file)).expanduser()
    if cfg.file != "-" and (file.is_file() or not file.exists()):  # a pipe cannot be opened twice
        with TextFile(file, "file").opened():
            pass  # else the error would come after the table's header
    if cfg.each and (cfg.ngram or containers(cfg)["mixture"] != "equal"):
        raise UserError("each=true lets each model judge by itself: leave out mixture= and ngram=")
    keep_freed_memory()
    members = load_members(cfg, apart=cfg.each)
    for name in ("summary", "best"):
        if cfg[name]:
            writable(cfg[name], name)  # checked before the work is done
    node = containers(cfg.evaluator)
    evaluators = {one.path: evaluator_of(node, one, one.split_ids) for one in members}

    def scores_of(*some: Trained) -> Score:
        found, entropy = [evaluators[one.path] for one in some], cfg.format == "sentences"
        if isinstance(found[0], Dynamic) and found[0].adapt == "sentence" and len(some) == 1 and not cfg.ngram:
            kept = keeper(cfg, some[0])
            return partial(adapting, found[0], some[0].model, some[0].vocab, entropy=entropy, kept=kept)
        if cfg.adapted or not all(isinstance(one, Static) for one in found):
            raise UserError(_wrong_evaluator(found[0]))
        temperatures = [number(one.resolved(own.model).temperature) for one, own in zip(found, some, strict=True)]
        predictor = predictor_of(cfg, some, temperatures)
        return partial(score_sentences, predictor, some[0].vocab, batch_size=cfg.batch_size, entropy=entropy)

    with _table(cfg.out) as write, bar("scoring", None, "line") as progress:
        if cfg.each:
            summary = pairs_of_each({str(one.path): scores_of(one) for one in members}, cfg, write)
        else:
            lines = _counted(lines_of(cfg.file, "file"), progress.update)
            summary = FORMATS[cfg.format](lines, scores_of(*members), cfg, write)
    if cfg.summary:
        write_json(writable(cfg.summary, "summary"), summary)
    (print if cfg.out else say)(in_words(summary))


def _refuse_the_same_file(cfg: DictConfig) -> None:
    """Raise UserError if the file is missing, or if two of the settings that name files name the same one."""
    if OmegaConf.is_missing(cfg, "file"):
        raise UserError("file is missing; name a file with a sentence or a pair in each line: file=FILE")
    seen: dict[Path, str] = {}
    for name in ("file", "reference", "out", "summary", "best", "adapted"):
        path = Path(str(cfg[name])).expanduser().resolve()
        if cfg[name] is None or cfg[name] == "-" or (path.exists() and not path.is_file()):
            continue
        if path in seen and name not in ("file", "reference"):
            raise UserError(f"{name}: {cfg[name]} is also {seen[path]}, and would be overwritten; name another file")
        seen[path] = name


def _counted(lines: Lines, count: Callable[[int], Any]) -> Lines:
    for line in lines:
        yield line
        count(1)


def _wrong_evaluator(asked: Evaluator) -> str:
    if isinstance(asked, Dynamic) and asked.adapt == "sentence":
        return "evaluator=dynamic learns with one model: give one checkpoint, without ngram="
    if isinstance(asked, Static):
        return "adapted=FILE keeps what a model learns: choose evaluator=dynamic evaluator.adapt=sentence"
    return (
        f"evaluator={asked.name} reads a text as one stream, but score.py each line by itself: choose "
        "evaluator=static, or evaluator=dynamic evaluator.adapt=sentence"
    )


@contextmanager
def _table(out: str | None) -> Iterator[Write]:
    """A function that writes a row of the table, to a file that gets its name when it is complete, or at once."""

    def to(file: TextIO, row: str) -> None:
        file.write(row + "\n")

    if out is None:
        yield partial(to, sys.stdout)
        return
    with whole(writable(out, "out"), "free some space or choose another file") as aside, aside.open("w") as file:
        yield partial(to, file)
