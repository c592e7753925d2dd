"""result.json: its keys, writing and reading it, and the short table at a run's end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from lm.data.unknown_tokens import counted
from lm.system.files import write_json
from lm.system.terminal import aligned

RESULT = "result.json"
UNFINISHED = "the run has not ended: it was killed, or it is still running"


@dataclass
class Result:
    """The result of a run; every field is a key of result.json.

    `valid` and `test` are scores: {perplexity, nats, tokens, unknown}, and figures that compare between tokenisers:
    {words, perplexity_per_word, bits_per_character, bits_per_byte}, null if not all of the split was scored. A score
    may also hold `free_running`, the score without teacher forcing with the number of windows read, and `source`, the
    perplexity of the process that generated the text, if known.
    """

    config: dict[str, Any]
    seed: int | None
    overrides: list[str]  # typed on the command line since the run began
    status: str = "failed"  # or "completed"
    error: str | None = UNFINISHED
    resumed_at: list[int] = field(default_factory=list)  # the global step of each resumption
    train: dict[str, int] = field(default_factory=dict)  # tokens of the training text, and how many are unknown
    valid: dict[str, Any] = field(default_factory=dict)  # score of the best epoch
    test: dict[str, Any] = field(default_factory=dict)  # score of the best checkpoint, or of the last weights if none
    best: dict[str, Any] = field(default_factory=lambda: {"checkpoint": None, "epoch": None})
    vocabulary: int | None = None  # words
    parameters: int | None = None  # weights, each counted once
    precision: str | int | None = None  # used in training
    training: dict[str, Any] = field(default_factory=dict)  # windows, tokens, updates, seconds since the run began
    tokens_per_second: float | None = None  # of training, since the latest start
    seconds: float | None = None  # all time since the latest start
    samples: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        write_json(folder / RESULT, vars(self))


def read_result(run_dir: Path) -> dict[str, Any]:
    """The contents of result.json in a run's folder; empty if the file does not exist or is not valid JSON.

    Raises OSError if the file exists but cannot be read, because its contents may matter.
    """
    try:
        result: dict[str, Any] = json.loads((run_dir / RESULT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return result


def score(result: dict[str, Any]) -> float:
    """The number that orders a sweep's jobs: the best validation perplexity; inf if the run failed or has none."""
    if result.get("status") != "completed":
        return float("inf")
    perplexity = result["valid"].get("perplexity")
    return float("inf") if perplexity is None else float(perplexity)


def summary(result: Result, run_dir: Path) -> str:
    """The table of results that is printed at the end of a run, as text."""
    valid, test, best = result.valid, result.test, result.best
    rate = result.tokens_per_second
    speed = f"training at {rate:,.0f} tokens/s" if rate else "no training"
    seconds = timedelta(seconds=round(result.seconds or 0))
    rows = [
        ("valid perplexity", _figure(valid)),
        *((("  best epoch", str(best["epoch"])),) if best["epoch"] else ()),
        *_free_running(valid, result.vocabulary),
        ("test perplexity", _figure(test)),
        *_free_running(test, result.vocabulary),
        ("time", f"{seconds} in total; {speed}"),
        ("folder", str(run_dir)),
        *(() if best["checkpoint"] else (("checkpoint", "none was kept"),)),
    ]
    lines = [f"  {line}" for line in aligned(rows, "ll")]
    for sample in result.samples[:1]:
        lines += ["  sample", *("    " + line for line in sample.split("\n"))]
    return "\n".join(lines)


def _free_running(score: dict[str, Any], words: int | None) -> list[tuple[str, str]]:
    return [("  free running", _figure(score["free_running"], words))] if "free_running" in score else []


def _figure(score: dict[str, Any], words: int | None = None) -> str:
    """A perplexity with its tokens; with the size of the vocabulary, whether a uniform guess is better."""
    if score.get("perplexity") is None:
        return "not measured"
    known = f"; {score['source']:.2f} for the chain that generated the text" if "source" in score else ""
    bits = score.get("bits_per_byte")
    by_word = bits is None or score["words"] - score["tokens"] in (0, 1)
    beyond = f", worse than a guess among {words:,}" if words and score["perplexity"] > words else ""
    per = "" if by_word else f"; {bits:.4f} bits a byte, {score['perplexity_per_word']:.5g} a word"
    return f"{score['perplexity']:.2f} over {counted(score['tokens'], score.get('unknown'))}{per}{known}{beyond}"
