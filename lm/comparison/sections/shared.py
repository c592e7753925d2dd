"""What several sections need."""

from __future__ import annotations

from typing import Any


def firsts(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One run of each setting: its first."""
    return list({run["group"]: run for run in reversed(runs)}.values())[::-1]
