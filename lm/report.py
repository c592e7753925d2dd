"""What a run says of itself: result.json, and the short table at its end. Reads and writes files, nothing else."""

from __future__ import annotations

import json
import math
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

from lm.files import whole

RESULT = "result.json"


def write_json(path: Path, content: Any) -> None:
    """Write aside and rename: whoever reads the file finds it whole. Figures that are not finite become null."""
    with whole(path, "free some space or choose another folder") as aside:
        aside.write_text(json.dumps(_finite(content), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def summary(result: dict[str, Any], run_dir: Path) -> str:
    """The table that a person reads when a run has ended."""
    valid, test, best = result["valid"], result["test"], result["best"]
    free = [f"{split} {_figure(result[split].get('free_running', {}))}" for split in ("valid", "test")]
    rate = result["tokens_per_second"]  # None without callbacks.progress
    speed = f"training at {rate:,.0f} tokens/s" if rate else "speed not measured"
    if result["training"]["windows"] == 0:
        speed = "no training"
    seconds = timedelta(seconds=round(result["seconds"]))
    rows = [
        ("valid perplexity", _figure(valid) + (f"   best epoch: {best['epoch']}" if best["epoch"] else "")),
        ("test perplexity", _figure(test)),
        ("free running", "; ".join(free)),
        ("time", f"{seconds} in all; {speed}"),
        ("folder", str(run_dir)),
        ("best checkpoint", str(best["checkpoint"])),
        ("TensorBoard", f"tensorboard --logdir {shlex.quote(str(run_dir))}"),
    ]
    lines = [f"  {name:<17} {text}" for name, text in rows]
    for sample in result["samples"][:1]:
        lines += ["  sample", *("    " + line for line in sample.split("\n"))]
    return "\n".join(lines)


def _figure(score: dict[str, Any]) -> str:
    if score.get("perplexity") is None:
        return "not measured"
    known = f"; {score['source']:.2f} of the chain that wrote it" if "source" in score else ""
    return f"{score['perplexity']:.2f} over {score['tokens']:,} tokens{known}"
