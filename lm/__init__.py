"""Recurrent language models: text -> vocabulary -> streams -> model -> nats -> perplexity.

In a notebook, `lm.load(PATH)` returns a trained model and `lm.train([...])` trains one.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.2.0"
__all__ = ["load", "train"]

_HOMES = {"load": "lm.runs.trained", "train": "lm.commands.notebook"}


def __getattr__(name: str) -> Any:
    # torch and Hydra are imported on first use, so that `--help` and the version are fast.
    if name not in _HOMES:
        raise AttributeError(f"module 'lm' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
