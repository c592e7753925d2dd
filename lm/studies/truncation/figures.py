"""Containers for all measurements of the study: the content of report.json, from which sentences are made."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from lm.studies.benchmark.sizes import Sizes
from lm.studies.truncation.equality import Equality
from lm.studies.truncation.error import Attempt
from lm.studies.truncation.reach import Reach


@dataclass(frozen=True)
class Point:
    """Training with several windows between two updates.

    Args:
        windows: number of windows between two updates.
        length: number of tokens in a window.
        bytes: peak memory above the idle model and its optimiser.
        seconds: seconds per update, the median over processes.
        low: the lowest seconds per update of all processes.
        high: the highest seconds per update of all processes.
    """

    windows: int
    length: int
    bytes: int
    seconds: float
    low: float
    high: float

    @property
    def tokens(self) -> int:
        """Tokens of a stream between two updates; gradients can reach back at most this far."""
        return self.windows * self.length

    @property
    def per_window(self) -> float:
        """Training time per window in seconds."""
        return self.seconds / self.windows


@dataclass(frozen=True)
class Stream:
    """Peak memory in bytes for a stream of `windows` windows, with a detach before each window."""

    windows: int
    bytes: int


@dataclass(frozen=True)
class Recorded:
    """An autograd graph of three windows: its size, and the windows that the gradient of the last loss reaches."""

    operations: int
    edges: int
    crossing: int
    reached: list[int]


@dataclass(frozen=True)
class ModelFigures:
    """How far gradients reach in a model, and whether two ways to compute the truncated gradient agree."""

    reach: Reach
    gradients: Equality


@dataclass(frozen=True)
class Figures:
    """All measurements. `by_windows` varies tbptt.windows, `by_length` the window's length, in a model of `sizes`.

    `window` is the window length for which the reach is reported.
    """

    attempts: list[Attempt]
    by_windows: list[Point]
    by_length: list[Point]
    streams: list[Stream]
    models: dict[str, ModelFigures]
    graphs: dict[str, Recorded]
    window: int
    sizes: Sizes
    device: str
    torch: str
    threads: int

    @property
    def bytes_per_window(self) -> float:
        """Bytes of peak memory for each more window in tbptt.windows: the slope by least squares."""
        return float(np.polyfit([p.windows for p in self.by_windows], [p.bytes for p in self.by_windows], 1)[0])

    def as_dict(self) -> dict[str, object]:
        models = {
            name: {"reach": found.reach._asdict(), "gradients": found.gradients._asdict()}
            for name, found in self.models.items()
        }
        attempts = [attempt._asdict() for attempt in self.attempts]
        return asdict(self) | {"attempts": attempts, "models": models, "bytes_per_window": self.bytes_per_window}
