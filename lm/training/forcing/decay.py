"""How scheduled sampling's share of true words falls."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from lm.system.errors import UserError


class Decay(ABC):
    """Scheduled sampling's share of true words, by the number of windows trained on so far (Bengio et al. 2015)."""

    @abstractmethod
    def share(self, windows: int) -> float: ...


@dataclass(frozen=True)
class Linear(Decay):
    """max(minimum, start - slope * windows)."""

    start: float = 1.0
    slope: float = 1e-4
    minimum: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.start <= 1 or self.slope < 0:
            raise UserError(
                "forcing.decay needs 0 <= minimum <= start <= 1 and slope >= 0; "
                f"got {self.minimum}, {self.start} and {self.slope}"
            )

    def share(self, windows: int) -> float:
        return max(self.minimum, self.start - self.slope * windows)


@dataclass(frozen=True)
class Exponential(Decay):
    """k ** windows, for a k below 1."""

    k: float = 0.9998

    def __post_init__(self) -> None:
        if not 0 < self.k < 1:
            raise UserError(f"forcing.decay.k must be between 0 and 1; got {self.k}")

    def share(self, windows: int) -> float:
        return self.k**windows


@dataclass(frozen=True)
class InverseSigmoid(Decay):
    """k / (k + exp(windows / k)), for a k of at least 1: close to 1 at first, one half after k * ln(k) windows."""

    k: float = 500.0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"forcing.decay.k must be at least 1; got {self.k}")

    def share(self, windows: int) -> float:
        exponent = windows / self.k
        return 0.0 if exponent > 700 else self.k / (self.k + math.exp(exponent))
