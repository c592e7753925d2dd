"""The formats of `score.py`: each reads numbered lines, scores their texts, writes rows, and returns a summary."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from omegaconf import DictConfig

from lm.commands.lines import lines_of
from lm.evaluation import nbest, pairs, sentence_figures
from lm.evaluation.nbest import Errors, Hypothesis, Rescored
from lm.evaluation.pairs import Accuracy, Pair
from lm.evaluation.sentence_figures import PER_NAT, SentenceFigures, table_rows
from lm.evaluation.sentences import Sentence
from lm.system.errors import UserError
from lm.system.files import whole, writable
from lm.system.terminal import say

Lines = Iterator[tuple[int, str]]
"""Numbered lines of a file, from 1, without their ends."""
Score = Callable[[Iterable[str]], Iterator[Sentence]]
Write = Callable[[str], None]


def sentences(lines: Lines, scored: Score, cfg: DictConfig, write: Write) -> dict[str, Any]:
    """Write a row for each word of each sentence. Returns the summary."""
    figures, skipped, numbers = SentenceFigures(), 0, deque[int]()

    def texts() -> Iterator[str]:
        nonlocal skipped
        for number, line in lines:
            if not line.strip():
                skipped += 1
                continue
            _refuse_json(number, line, cfg.file)
            numbers.append(number)
            yield line

    write(sentence_figures.HEADER)
    for one in scored(texts()):
        figures.add(one)
        for row in table_rows(numbers.popleft(), one, cfg.unit):
            write(row)
    if not figures.sentences:
        raise UserError(f"file: {cfg.file} has no sentence; give one a line")
    return {**figures.as_dict(), "skipped": skipped, "unit": cfg.unit}


def _refuse_json(number: int, line: str, file: str) -> None:
    if number == 1 and line.lstrip().startswith("{"):
        try:
            row = json.loads(line)
        except ValueError:
            return
        remedy = "choose format=pairs" if "sentence_good" in row else "give its texts, one a line"
        raise UserError(f"file: {file} is JSON Lines, not a sentence a line: {remedy}")


def pairs_of_sentences(lines: Lines, scored: Score, cfg: DictConfig, write: Write) -> dict[str, Any]:
    """Write a row for each pair. Returns the summary."""
    accuracy, waiting, same = Accuracy(), deque[Pair](), 0

    def texts() -> Iterator[str]:
        for pair in pairs.read_pairs(lines, cfg.file):
            waiting.append(pair)
            yield from (pair.good, pair.bad)

    write(pairs.HEADER)
    both = scored(texts())
    for good, bad in zip(both, both, strict=True):
        judged = pairs.judged(waiting.popleft(), good, bad)
        same += judged.pair.good == judged.pair.bad
        accuracy.add(judged)
        write(judged.row(PER_NAT[cfg.unit]))
    if not accuracy.pairs:
        raise UserError(f"file: {cfg.file} has no pair; give one a line")
    if same:
        say(f"warning: {same:,} of {accuracy.pairs:,} pairs are twice the same sentence: each is a tie")
    return {**accuracy.as_dict(), "unit": cfg.unit}


def pairs_of_each(runs: Mapping[str, Score], cfg: DictConfig, write: Write) -> dict[str, Any]:
    """Judge the pairs by each of several models, {checkpoint: its scores}. Returns the mean of their accuracies.

    The rows have the checkpoint in front. Raises UserError if the file cannot be read again for the next model.
    """
    if cfg.format != "pairs" or cfg.file == "-":
        raise UserError("each=true is for format=pairs and a file, which is read again for each checkpoint")
    from lm.studies.comparison.statistics import over_seeds  # here, because scipy takes half a second to import

    write(f"checkpoint\t{pairs.HEADER}")
    found = {}
    for name, scored in runs.items():
        rows = list[str]()
        found[name] = pairs_of_sentences(lines_of(cfg.file, "file"), scored, cfg, rows.append)
        for row in rows[1:]:
            write(f"{name}\t{row}")
    accuracy = over_seeds([one["accuracy"] for one in found.values()])
    first = next(iter(found.values()))
    summary: dict[str, Any] = {"pairs": first["pairs"], "accuracy": accuracy.mean}
    summary["interval"] = _within(accuracy.low, accuracy.high)
    for name in ("ties", "with_unknown"):
        summary[name] = sum(one[name] for one in found.values()) / len(found)
    for uid in first.get("by_uid", {}):
        own = over_seeds([one["by_uid"][uid]["accuracy"] for one in found.values()])
        summary.setdefault("by_uid", {})[uid] = {"accuracy": own.mean, "interval": _within(own.low, own.high)}
    return {**summary, "unit": cfg.unit, "checkpoints": found}


def _within(*ends: float | None) -> list[float | None]:
    """The interval of a share, cut at 0 and 1."""
    return [None if end is None else min(1.0, max(0.0, end)) for end in ends]


def lists(lines: Lines, scored: Score, cfg: DictConfig, write: Write) -> dict[str, Any]:
    """Write each line of n-best lists with the model's log-probability, and choose a line of each list.

    Returns the summary. Raises UserError for settings that do not go together.
    """
    auto = cfg.weight == "auto"
    if auto and not cfg.reference:
        raise UserError("weight=auto needs the true texts: reference=FILE")
    if auto and cfg.penalty:
        raise UserError("weight=auto finds the penalty too: leave out penalty=")
    weight, penalty = (0.0 if auto else _number(cfg.weight)), cfg.penalty
    references = nbest.read_references(lines_of(cfg.reference, "reference"), cfg.reference) if cfg.reference else {}
    waiting, found = deque[Hypothesis](), list[Rescored]()

    def texts() -> Iterator[str]:
        for one in nbest.read_nbest(lines, cfg.file):
            waiting.append(one)
            yield one.text

    for sentence in scored(texts()):
        found.append(Rescored(waiting.popleft(), -sum(sentence.nats)))
        write(found[-1].line)
    if not found:
        raise UserError(f"file: {cfg.file} has no hypothesis; give id, score and text in each line")
    together = [list(group) for _, group in groupby(found, key=lambda one: one.hypothesis.id)]
    errors = Errors(together, references) if cfg.reference else None
    if auto and errors is not None:
        weight, penalty = errors.best_weights()
    chosen = list(nbest.chosen(together, weight, penalty))
    if cfg.best:
        with whole(writable(cfg.best, "best"), "free some space or choose another file") as aside:
            aside.write_text("".join(f"{one.line}\n" for one in chosen), encoding="utf-8")
    summary = {"lists": len(together), "lines": len(found), "weight": weight, "penalty": penalty}
    if errors is not None:
        rates = {"first": errors.first, "chosen": errors.rate(chosen), "best_possible": errors.best_possible}
        summary |= {"reference_words": errors.words, "word_error_rate": rates}
    return summary


def _number(weight: str) -> float:
    try:
        number = float(weight)
        if math.isfinite(number):
            return number
    except ValueError:
        pass
    raise UserError(f"weight={weight}: give a number, or auto")


def in_words(summary: dict[str, Any]) -> str:
    """The summary on a line or two."""
    if "pairs" in summary:
        low, high = summary["interval"]
        interval = "" if low is None else f" [{low:.4f}, {high:.4f}]"
        models = f", mean of {len(summary['checkpoints'])} models" if "checkpoints" in summary else ""
        return (
            f"accuracy {summary['accuracy']:.4f}{interval} over {summary['pairs']:,} pairs{models}, "
            f"{summary['ties']:g} ties, {summary['with_unknown']:g} with unknown words; surprisals in {summary['unit']}"
        )
    if "lists" in summary:
        rates = ", ".join(f"{name} {value:.2%}" for name, value in summary.get("word_error_rate", {}).items())
        return (
            f"{summary['lines']:,} lines of {summary['lists']:,} lists, weight {summary['weight']:g}, penalty "
            f"{summary['penalty']:g}{f'; word error rates: {rates}' if rates else ''}"
        )
    said = {name: "none" if value is None else f"{value:.4f}" for name, value in summary["perplexities"].items()}
    perplexities = ", ".join(f"{name} {value}" for name, value in said.items())
    unit = summary["unit"]
    in_unit = "" if unit == "nats" else f"{PER_NAT[unit] * summary['nats']:.4f} {unit}, "
    return (
        f"{summary['sentences']:,} sentences, {summary['words']:,} words, {summary['unknown']:,} unknown, "
        f"{in_unit}{summary['nats']:.4f} nats; perplexities: {perplexities}"
    )
