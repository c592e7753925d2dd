"""The setting `dry=true`: run a command with almost no work, to check that it runs before a long run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WINDOWS = 2
TOKENS = 20
"""The number of tokens of a text that an evaluation with `dry=true` reads."""

TINY: dict[str, Any] = {
    "data": {"batch_size": 4, "window": 5},
    "model": {"embedding_size": 8, "hidden_size": 8, "last_size": 8},
    "model.cell": {"rank": 2},
    "model.head": {"experts": 2, "frequent": 20, "sampled": 20},
    "trainer": {
        "max_epochs": 1,
        "limit_train_batches": WINDOWS,
        "limit_val_batches": WINDOWS,
        "limit_test_batches": WINDOWS,
        "log_every_n_steps": 1,
    },
    "accelerator": {"accelerator": "cpu", "devices": 1, "nodes": 1, "strategy": "auto"},
    "evaluator": {"statistics_windows": WINDOWS},
    "evaluator.reader": {"statistics_windows": WINDOWS},
}


def dry(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The configuration changed to tiny sizes and two windows, on the CPU. Sizes that are null stay null."""
    small = TINY.get(path, {})
    result = {}
    for key, value in config.items():
        inner = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            result[key] = dry(value, inner)
        elif key in small and (value is not None or path == "trainer" or key == "statistics_windows"):
            result[key] = small[key]
        else:
            result[key] = value
    return result
