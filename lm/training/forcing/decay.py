"""Formulas by which the share of true words falls during training with scheduled sampling."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

from lm.system.bounds import INSIDE, PROBABILITY, AtLeast, Bounded
from lm.system.errors import UserError


class Decay(Bounded, ABC, group="forcing.decay"):
    """The share of true words in scheduled sampling, as it falls with the number of windows (Bengio et al. 2015)."""

    @abstractmethod
    def share(self, windows: int) -> float: ...


@dataclass(frozen=True)
class Linear(Decay):
    """The share of true words falls linearly: max(minimum, start - slope * windows)."""

    start: Annotated[float, PROBABILITY] = 1.0
    slope: Annotated[float, AtLeast(0)] = 1e-4
    minimum: Annotated[float, PROBABILITY] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minimum > self.start:
            raise UserError(
                f"forcing.decay.minimum must be at most forcing.decay.start; got {self.minimum} and {self.start}"
            )

    def share(self, windows: int) -> float:
        return max(self.minimum, self.start - self.slope * windows)


@dataclass(frozen=True)
class Exponential(Decay):
    """The share of true words falls exponentially: k ** windows, with k below 1."""

    k: Annotated[float, INSIDE] = 0.9998

    def share(self, windows: int) -> float:
        return self.k**windows


@dataclass(frozen=True)
class InverseSigmoid(Decay):
    """The share of true words is k / (k + exp(windows / k)), with k at least 1: one half after k * ln(k) windows."""

    k: Annotated[float, AtLeast(1)] = 500.0

    def share(self, windows: int) -> float:
        exponent = windows / self.k
        return 0.0 if exponent > 700 else self.k / (self.k + math.exp(exponent))
