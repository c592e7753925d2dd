"""result.json: all its keys, how it is written and read, and the short table made of it at a run's end."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from lm.system.files import write_json
from lm.system.terminal import aligned

RESULT = "result.json"
UNFINISHED = "the run did not reach its end: it was killed, or is still running"


@dataclass
class Result:
    """What a run says of itself; every field is a key of result.json.

    A score is {perplexity, nats, tokens}; `free_running` in it is that of the model fed its own words, with the number
    of windows read; `source` the perplexity of the process that wrote the text, where it is known.
    """

    config: dict[str, Any]
    seed: int | None
    overrides: list[str]  # as typed since the run began
    status: str = "failed"  # or "completed"
    error: str | None = UNFINISHED
    resumed_at: list[int] = field(default_factory=list)  # the global step of each resumption
    valid: dict[str, Any] = field(default_factory=dict)  # the best epoch's score
    test: dict[str, Any] = field(default_factory=dict)  # the best checkpoint's; without checkpoints, the last weights'
    best: dict[str, Any] = field(default_factory=lambda: {"checkpoint": None, "epoch": None})
    vocabulary: int | None = None  # words
    parameters: int | None = None  # weights, each counted once
    precision: str | int | None = None  # of training, as it was used
    training: dict[str, Any] = field(default_factory=dict)  # windows, tokens, updates, seconds since the run began
    tokens_per_second: float | None = None  # of training, in the newest start
    seconds: float | None = None  # of the newest start, all in all
    samples: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        write_json(folder / RESULT, vars(self))


def read_result(run_dir: Path) -> dict[str, Any]:
    """What a run's folder says of its run; empty where it says nothing that makes sense.

    Raises OSError where the system does not let it be read: what it says may matter.
    """
    try:
        result: dict[str, Any] = json.loads((run_dir / RESULT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return result


def score(result: dict[str, Any]) -> float:
    """What jobs are ordered by: the best validation perplexity; inf for a failed run, or one without validation."""
    if result.get("status") != "completed":
        return float("inf")
    perplexity = result["valid"].get("perplexity")
    return float("inf") if perplexity is None else float(perplexity)


def summary(result: Result, run_dir: Path) -> str:
    """The table that a person reads when a run has ended."""
    valid, test, best = result.valid, result.test, result.best
    free = [
        f"{split} {_figure(score['free_running'])}"
        for split, score in (("valid", valid), ("test", test))
        if "free_running" in score
    ]
    rate = result.tokens_per_second
    speed = f"training at {rate:,.0f} tokens/s" if rate else "no training"
    seconds = timedelta(seconds=round(result.seconds or 0))
    rows = [
        ("valid perplexity", _figure(valid) + (f"   best epoch: {best['epoch']}" if best["epoch"] else "")),
        ("test perplexity", _figure(test)),
        ("free running", "; ".join(free) or "not measured"),
        ("time", f"{seconds} in all; {speed}"),
        ("folder", str(run_dir)),
        ("best checkpoint", best["checkpoint"] or "none was kept"),
        ("TensorBoard", f"tensorboard --logdir {shlex.quote(str(run_dir))}"),
    ]
    lines = [f"  {line}" for line in aligned(rows, "ll")]
    for sample in result.samples[:1]:
        lines += ["  sample", *("    " + line for line in sample.split("\n"))]
    return "\n".join(lines)


def _figure(score: dict[str, Any]) -> str:
    if score.get("perplexity") is None:
        return "not measured"
    known = f"; {score['source']:.2f} of the chain that wrote it" if "source" in score else ""
    return f"{score['perplexity']:.2f} over {score['tokens']:,} tokens{known}"
