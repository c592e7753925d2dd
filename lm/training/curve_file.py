"""A run's curves as a table, `curves.csv` in its folder, whichever loggers it has."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from lm.runs.run_folder import TABLE
from lm.training.curves import Moment

COUNTS = ("windows", "tokens", "updates", "seconds")
TAGS = (
    *("train/loss", "train/perplexity", "train/lr", "train/tokens_per_second", "train/gradient_norm"),
    *("train/clipped_share", "valid/loss", "valid/perplexity"),
)


class CurveFile(Logger):
    """Appends a row for each point: the counts of `Moment`, then a column for each tag, empty where it has no value."""

    name, version, experiment = "curves", "", None

    def __init__(self, run_dir: str) -> None:
        super().__init__()
        self.path = Path(run_dir) / TABLE

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Nothing: `log_row` has the counts too."""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing: result.json has the settings."""

    def log_row(self, at: Moment, scalars: dict[str, float]) -> None:
        if not scalars.keys() & set(TAGS):
            return
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow([*COUNTS, *TAGS])
            writer.writerow([*(getattr(at, count) for count in COUNTS), *(scalars.get(tag, "") for tag in TAGS)])
