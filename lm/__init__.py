"""Recurrent language models: text -> vocabulary -> streams -> model -> nats -> perplexity.

For a notebook: `lm.load(PATH)` gives a trained model back, `lm.train([...])` trains one.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.2.0"
__all__ = ["load", "train"]

_HOMES = {"load": "lm.runs.trained", "train": "lm.commands.notebook"}


def __getattr__(name: str) -> Any:
    # Neither torch nor Hydra before one of them is used: `--help` and the version come at once.
    if name not in _HOMES:
        raise AttributeError(f"module 'lm' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
