"""All measurements, as plain containers: the content of report.json and the source of the sentences."""

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
        windows: windows between two updates.
        length: tokens of a window.
        bytes: peak memory above the idle model and its optimiser.
        seconds: per update, median over processes.
        low: the lowest of the processes.
        high: the highest of the processes.
    """

    windows: int
    length: int
    bytes: int
    seconds: float
    low: float
    high: float

    @property
    def tokens(self) -> int:
        """Tokens of a stream between two updates; gradients can reach so far."""
        return self.windows * self.length

    @property
    def per_window(self) -> float:
        """Seconds per window."""
        return self.seconds / self.windows


@dataclass(frozen=True)
class Stream:
    """Peak bytes for a stream of so many windows, with a detach before each."""

    windows: int
    bytes: int


@dataclass(frozen=True)
class Recorded:
    """An autograd graph of three windows: its size, and the windows that the last loss's gradient reaches."""

    operations: int
    edges: int
    crossing: int
    reached: list[int]


@dataclass(frozen=True)
class ModelFigures:
    """How far gradients reach in a model, and the truncated gradient computed in two ways."""

    reach: Reach
    gradients: Equality


@dataclass(frozen=True)
class Figures:
    """`by_windows` varies tbptt.windows and `by_length` the window's length, in a model of `sizes`.

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
        """The slope of peak memory over tbptt.windows, by least squares."""
        return float(np.polyfit([p.windows for p in self.by_windows], [p.bytes for p in self.by_windows], 1)[0])

    def as_dict(self) -> dict[str, object]:
        models = {
            name: {"reach": found.reach._asdict(), "gradients": found.gradients._asdict()}
            for name, found in self.models.items()
        }
        attempts = [attempt._asdict() for attempt in self.attempts]
        return asdict(self) | {"attempts": attempts, "models": models, "bytes_per_window": self.bytes_per_window}
