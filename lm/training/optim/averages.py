"""An average of the weights, beside those that are trained: what is evaluated and saved once it has begun."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from lm.system.bounds import INSIDE, AtLeast, Bounded, Count


class Averaging(Bounded, ABC, group="optim.average"):
    """When the average begins, and how much the newest weights weigh in it."""

    @abstractmethod
    def begins(self, losses: Sequence[float], seconds: float = 0.0) -> bool:
        """Asked at the start and after each validation: their losses so far, the newest one last, and how many
        `seconds` of training there were."""

    def share(self, count: int) -> float:
        """Of the newest weights in an average that then is of `count` updates: 1 / count is the plain mean."""
        return 1 / count


@dataclass(frozen=True)
class BehindDescent(Averaging):
    """The mean of all weights from the validation on that ends the descent, or the `latest`-th (None: however late)."""

    patience: Annotated[int, AtLeast(0)] = 5
    latest: Count | None = None

    def begins(self, losses: Sequence[float], seconds: float = 0.0) -> bool:
        return (self.latest is not None and len(losses) >= self.latest) or (len(losses) > 0 and self.ended(losses))

    @abstractmethod
    def ended(self, losses: Sequence[float]) -> bool:
        """Whether validation has stopped to improve by the newest of its `losses`, of which there are some."""


@dataclass(frozen=True)
class NonMonotonic(BehindDescent):
    """NT-ASGD (Merity et al. 2018): once a loss is above the lowest of all before it but the last `patience`."""

    def ended(self, losses: Sequence[float]) -> bool:
        compared = losses[: -1 - self.patience]
        return len(compared) > 0 and losses[-1] > min(compared)


@dataclass(frozen=True)
class Stalled(BehindDescent):
    """As for the Mogrifier (Melis et al. 2020): once `patience` validations in a row have brought no lowest loss."""

    def ended(self, losses: Sequence[float]) -> bool:
        return len(losses) - 1 - losses.index(min(losses)) >= self.patience


@dataclass(frozen=True)
class Tail(Averaging):
    """The mean of all weights behind the first `after` validations (0: from the first update on)."""

    after: Annotated[int, AtLeast(0)] = 0

    def begins(self, losses: Sequence[float], seconds: float = 0.0) -> bool:
        return len(losses) >= self.after


@dataclass(frozen=True)
class Timed(Averaging):
    """The mean of all weights from the first validation after `minutes` of training on: where time is what is short."""

    minutes: Annotated[float, AtLeast(0)]

    def begins(self, losses: Sequence[float], seconds: float = 0.0) -> bool:
        return len(losses) > 0 and seconds >= 60 * self.minutes


@dataclass(frozen=True)
class Exponential(Averaging):
    """An exponential moving average; while it is young, the plain mean."""

    decay: Annotated[float, INSIDE] = 0.999

    def begins(self, losses: Sequence[float], seconds: float = 0.0) -> bool:
        return True

    def share(self, count: int) -> float:
        return max(1 - self.decay, 1 / count)


class WeightAverage:
    """The average of a model's weights as `averaging` has it (None: never), and the losses that decide on it."""

    def __init__(self, model: nn.Module, averaging: Averaging | None) -> None:
        self.weights: list[Tensor] = list(model.parameters())
        self.averaging = averaging
        self.losses: list[float] = []
        self.count = 0  # updates that have gone into it
        self.average: list[Tensor] = []
        self.begun = averaging is not None and averaging.begins([])

    @torch.no_grad()
    def update(self) -> None:
        """The weights have changed: take them in."""
        if not self.begun or self.averaging is None:
            return
        self.count += 1
        if not self.average:
            self.average = [weight.detach().clone() for weight in self.weights]
        else:
            torch._foreach_lerp_(self.average, self.weights, self.averaging.share(self.count))

    def validated(self, loss: float, seconds: float = 0.0) -> None:
        """A validation after so many `seconds` of training gave `loss` nats a token."""
        self.losses.append(loss)
        self.begun = self.begun or (self.averaging is not None and self.averaging.begins(self.losses, seconds))

    @torch.no_grad()
    def swap(self) -> None:
        """Average into the model, weights into its place, or the other way round; nothing before there is one."""
        for weight, mean in zip(self.weights, self.average, strict=False):
            held = weight.clone()
            weight.copy_(mean)
            mean.copy_(held)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the average as its weights, and afterwards as it was."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict[str, Any]:
        """All but the average, which a checkpoint holds as the model's weights; `trained` are those that it is of."""
        trained = [weight.detach().clone() for weight in self.weights] if self.average else []
        return {"losses": self.losses, "count": self.count, "begun": self.begun, "trained": trained}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The model holds a checkpoint's weights: keep them as the average, and put those that are trained in."""
        self.losses, self.count, self.begun = list(state["losses"]), state["count"], state["begun"]
        self.average = [part.to(weight) for part, weight in zip(state["trained"], self.weights, strict=False)]
        self.swap()
