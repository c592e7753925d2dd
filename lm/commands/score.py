"""`score.py`: scores the lines of a file, each by itself: sentences, or pairs of which one should be more probable."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from omegaconf import DictConfig

from lm.commands.inputs import asked_precision, load_trained
from lm.config.unknown_key import unknown_option
from lm.data.plain_text import decoded
from lm.data.text_file import TextFile
from lm.evaluation import pairs, sentence_figures
from lm.evaluation.pairs import Accuracy, Pair
from lm.evaluation.sentence_figures import PER_NAT, SentenceFigures, table_rows
from lm.evaluation.sentences import Sentence, score_sentences
from lm.system.errors import UserError
from lm.system.files import whole, writable, write_json
from lm.system.terminal import bar, say

Lines = Iterator[tuple[int, str]]
"""Numbered lines of a file, from 1, without their ends."""
Score = Callable[[Iterable[str]], Iterator[Sentence]]
Write = Callable[[str], None]
FORMATS = ("sentences", "pairs")


def score(cfg: DictConfig) -> None:
    """Print a table with a row for each word, or for each pair, as the lines are scored, then a summary."""
    asked_precision(cfg, "auto", "32-true")
    for name, known in (("format", FORMATS), ("unit", PER_NAT)):
        if cfg[name] not in known:
            raise UserError(unknown_option(name, cfg[name], known, name))
    trained = load_trained(cfg)
    if cfg.summary:
        writable(cfg.summary, "summary")  # checked before the work is done
    settings = {"temperature": cfg.temperature, "batch_size": cfg.batch_size, "entropy": cfg.format == "sentences"}
    scored: Score = partial(score_sentences, trained.model, trained.vocab, **settings)
    run = _sentences if cfg.format == "sentences" else _pairs
    with _table(cfg.out) as write, bar("scoring", None, "line") as progress:
        summary = run(_counted(_lines(cfg.file), progress.update), scored, cfg.unit, write, cfg.file)
    if cfg.summary:
        write_json(writable(cfg.summary, "summary"), summary)
    (print if cfg.out else say)(_in_words(summary))


def _sentences(lines: Lines, scored: Score, unit: str, write: Write, file: str) -> dict[str, Any]:
    """Write a row for each word of each sentence. Returns the summary."""
    figures, skipped, numbers = SentenceFigures(), 0, deque[int]()

    def texts() -> Iterator[str]:
        nonlocal skipped
        for number, line in lines:
            if not line.strip():
                skipped += 1
                continue
            _refuse_json(number, line, file)
            numbers.append(number)
            yield line

    write(sentence_figures.HEADER)
    for one in scored(texts()):
        figures.add(one)
        for row in table_rows(numbers.popleft(), one, unit):
            write(row)
    if not figures.sentences:
        raise UserError(f"file: {file} has no sentence; give one a line")
    return {**figures.as_dict(), "skipped": skipped, "unit": unit}


def _pairs(lines: Lines, scored: Score, unit: str, write: Write, file: str) -> dict[str, Any]:
    """Write a row for each pair. Returns the summary."""
    accuracy, waiting, same = Accuracy(), deque[Pair](), 0

    def texts() -> Iterator[str]:
        for pair in pairs.read_pairs(lines, file):
            waiting.append(pair)
            yield from (pair.good, pair.bad)

    write(pairs.HEADER)
    both = scored(texts())
    for good, bad in zip(both, both, strict=True):
        judged = pairs.judged(waiting.popleft(), good, bad)
        same += judged.pair.good == judged.pair.bad
        accuracy.add(judged)
        write(judged.row(PER_NAT[unit]))
    if not accuracy.pairs:
        raise UserError(f"file: {file} has no pair; give one a line")
    if same:
        say(f"warning: {same:,} of {accuracy.pairs:,} pairs are twice the same sentence: each is a tie")
    return {**accuracy.as_dict(), "unit": unit}


def _refuse_json(number: int, line: str, file: str) -> None:
    if number == 1 and line.lstrip().startswith("{"):
        try:
            row = json.loads(line)
        except ValueError:
            return
        remedy = "choose format=pairs" if "sentence_good" in row else "give its texts, one a line"
        raise UserError(f"file: {file} is JSON Lines, not a sentence a line: {remedy}")


def _lines(file: str) -> Lines:
    """The lines of a file or of standard input, as they come."""
    if file == "-":
        if sys.stdin is None:
            raise UserError("file=-: standard input is closed; name a file")
        for number, data in enumerate(sys.stdin.buffer, 1):
            yield number, decoded(data, "file: standard input").removesuffix("\n")
        return
    text = TextFile(Path(file).expanduser(), "file")
    if text.path.is_file() and text.size() == 0:
        raise UserError(f"file: {file} is empty; name a file with a sentence a line")
    number = 0
    for piece in text.pieces():
        for line in piece.removesuffix("\n").split("\n"):
            number += 1
            yield number, line


def _counted(lines: Lines, count: Callable[[int], Any]) -> Lines:
    for line in lines:
        yield line
        count(1)


@contextmanager
def _table(out: str | None) -> Iterator[Callable[[str], None]]:
    """A function that writes a row of the table, to a file that gets its name when it is complete, or at once."""

    def to(file: TextIO, row: str) -> None:
        file.write(row + "\n")

    if out is None:
        yield partial(to, sys.stdout)
        return
    with whole(writable(out, "out"), "free some space or choose another file") as aside, aside.open("w") as file:
        yield partial(to, file)


def _in_words(summary: dict[str, Any]) -> str:
    """The summary on a line or two."""
    if "pairs" in summary:
        low, high = summary["interval"]
        return (
            f"accuracy {summary['accuracy']:.4f} [{low:.4f}, {high:.4f}] over {summary['pairs']:,} pairs, "
            f"{summary['ties']:,} ties, {summary['with_unknown']:,} with unknown words"
        )
    said = {name: "none" if value is None else f"{value:.4f}" for name, value in summary["perplexities"].items()}
    perplexities = ", ".join(f"{name} {value}" for name, value in said.items())
    return (
        f"{summary['sentences']:,} sentences, {summary['words']:,} words, {summary['unknown']:,} unknown, "
        f"{summary['nats']:.4f} nats; perplexities: {perplexities}"
    )
