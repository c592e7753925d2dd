"""What several sections need."""

from __future__ import annotations

from typing import Any


def firsts(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One run of each setting: its first."""
    return list({run["group"]: run for run in reversed(runs)}.values())[::-1]


def texts(report: dict[str, Any]) -> list[str | None]:
    """The texts that the runs were trained on, in order of appearance: figures of two of them are not compared."""
    return list(dict.fromkeys(run["text"] for run in report["runs"]))
