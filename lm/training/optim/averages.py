"""Averages of the trained weights. Once an average has begun, it is evaluated and saved instead of the weights."""

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
    """Settings of a weight average: when averaging begins, and how much the latest weights count."""

    @abstractmethod
    def begins(self, losses: Sequence[float], seconds: float = 0.0) -> bool:
        """Whether averaging begins now. This method is called at the start of training and after each validation.

        `losses` are the losses of all validations so far, the latest one last; `seconds` is the training time.
        """

    def share(self, count: int) -> float:
        """The latest weights' share in the average of weights after `count` updates; 1 / count gives the plain mean."""
        return 1 / count


@dataclass(frozen=True)
class AfterDescent(Averaging):
    """The mean of all weights since validation stopped improving.

    The average begins at validation number `latest` at the latest (None: no such limit).
    """

    patience: Annotated[int, AtLeast(0)] = 5
    latest: Count | None = None

    def begins(self, losses: Sequence[float], seconds: float = 0.0) -> bool:
        return (self.latest is not None and len(losses) >= self.latest) or (len(losses) > 0 and self.ended(losses))

    @abstractmethod
    def ended(self, losses: Sequence[float]) -> bool:
        """Whether validation has stopped improving; `losses` are the validation losses so far (at least one)."""


@dataclass(frozen=True)
class NonMonotonic(AfterDescent):
    """NT-ASGD (Merity et al. 2018).

    The average begins after a validation loss above the lowest of those more than `patience` validations earlier.
    """

    def ended(self, losses: Sequence[float]) -> bool:
        compared = losses[: -1 - self.patience]
        return len(compared) > 0 and losses[-1] > min(compared)


@dataclass(frozen=True)
class Stalled(AfterDescent):
    """The average begins after `patience` validations in a row without a new lowest loss (Melis et al. 2020)."""

    def ended(self, losses: Sequence[float]) -> bool:
        return len(losses) - 1 - losses.index(min(losses)) >= self.patience


@dataclass(frozen=True)
class Tail(Averaging):
    """The mean of all weights after the first `after` validations (0: from the first update on)."""

    after: Annotated[int, AtLeast(0)] = 0

    def begins(self, losses: Sequence[float], seconds: float = 0.0) -> bool:
        return len(losses) >= self.after


@dataclass(frozen=True)
class Timed(Averaging):
    """The mean of all weights since the first validation after `minutes` of training, for runs with a time limit."""

    minutes: Annotated[float, AtLeast(0)]

    def begins(self, losses: Sequence[float], seconds: float = 0.0) -> bool:
        return len(losses) > 0 and seconds >= 60 * self.minutes


@dataclass(frozen=True)
class Exponential(Averaging):
    """An exponential moving average of weights. For the first 1 / (1 - decay) updates it is the plain mean."""

    decay: Annotated[float, INSIDE] = 0.999

    def begins(self, losses: Sequence[float], seconds: float = 0.0) -> bool:
        return True

    def share(self, count: int) -> float:
        return max(1 - self.decay, 1 / count)


class WeightAverage:
    """The average of a model's weights (none if `averaging` is None), and the losses that decide when it begins."""

    def __init__(self, model: nn.Module, averaging: Averaging | None) -> None:
        self.weights: list[Tensor] = list(model.parameters())
        self.averaging = averaging
        self.losses: list[float] = []
        self.count = 0  # updates in the average
        self.average: list[Tensor] = []
        self.begun = averaging is not None and averaging.begins([])

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the average, if it has begun. This method is called after each update."""
        if not self.begun or self.averaging is None:
            return
        self.count += 1
        if not self.average:
            self.average = [weight.detach().clone() for weight in self.weights]
        else:
            torch._foreach_lerp_(self.average, self.weights, self.averaging.share(self.count))

    def validated(self, loss: float, seconds: float = 0.0) -> None:
        """Record a validation loss in nats per token, after `seconds` of training."""
        self.losses.append(loss)
        self.begun = self.begun or (self.averaging is not None and self.averaging.begins(self.losses, seconds))

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the values of the model's weights and of the average. If there is no average yet, do nothing."""
        for weight, mean in zip(self.weights, self.average, strict=False):
            held = weight.clone()
            weight.copy_(mean)
            mean.copy_(held)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the context, the model has the average as its weights."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint, with trained weights as `trained`. The average is saved as the model's weights."""
        trained = [weight.detach().clone() for weight in self.weights] if self.average else []
        return {"losses": self.losses, "count": self.count, "begun": self.begun, "trained": trained}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint, after the model has loaded the checkpoint's weights.

        These weights become the average, and the model gets the trained weights.
        """
        self.losses, self.count, self.begun = list(state["losses"]), state["count"], state["begun"]
        self.average = [part.to(weight) for part, weight in zip(state["trained"], self.weights, strict=False)]
        self.swap()
