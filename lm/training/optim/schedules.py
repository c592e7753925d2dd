"""Learning-rate schedules: the `optim/schedule` group."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from lm.system.bounds import PROBABILITY, Above, AtLeast, Bounded, Range


@dataclass(frozen=True)
class Plan:
    """The updates of a run, as far as they are done and as the present limits have them from there on.

    A run may resume with other limits than before. What was done stays done: it counts in the units it was done in.

    Args:
        per_epoch: updates of an epoch from now on.
        epochs: how many there are in all.
        done: updates so far.
        epochs_done: whole epochs so far.
        in_epoch: updates so far of the epoch that has begun.
    """

    per_epoch: int
    epochs: int
    done: int = 0
    epochs_done: int = 0
    in_epoch: int = 0

    @property
    def left_in_epoch(self) -> int:
        """Updates until the epoch that has begun ends."""
        return max(0, self.per_epoch - self.in_epoch)

    @property
    def total(self) -> int:
        """Updates in all: those done, and those that are left."""
        epochs_left = self.epochs - self.epochs_done
        return self.done + (self.left_in_epoch + self.per_epoch * (epochs_left - 1) if epochs_left > 0 else 0)

    def epoch(self, update: int) -> int:
        """The epoch of an update from `done` on, both counted from 0."""
        beyond = update - self.done - self.left_in_epoch
        return self.epochs_done if beyond < 0 else self.epochs_done + 1 + beyond // self.per_epoch


class Schedule(Bounded, ABC, group="optim.schedule"):
    """The learning rate as a share of `optim.lr`."""

    @abstractmethod
    def attach(self, optimizer: torch.optim.Optimizer, plan: Plan) -> LRScheduler: ...


class PerUpdate(Schedule):
    """A schedule whose factor depends only on the number of the update."""

    @abstractmethod
    def factor(self, update: int, plan: Plan) -> float: ...

    def attach(self, optimizer: torch.optim.Optimizer, plan: Plan) -> LRScheduler:
        return LambdaLR(optimizer, lambda update: self.factor(update, plan))


@dataclass(frozen=True)
class Constant(PerUpdate):
    """A constant learning rate."""

    def factor(self, update: int, plan: Plan) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine(PerUpdate):
    """Linear warm-up over the fraction `warmup` of all updates, then a half cosine down to `final` times `lr`."""

    warmup: Annotated[float, Range(least=0, below=1)] = 0.02
    final: Annotated[float, PROBABILITY] = 0.0

    def factor(self, update: int, plan: Plan) -> float:
        warm = round(self.warmup * plan.total)
        if update < warm:
            return (update + 1) / warm
        progress = min(1.0, (update - warm) / max(1, plan.total - warm))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class EpochDecay(PerUpdate):
    """`lr` for the first `after` epochs, then multiplied by `rate` at each later epoch (Zaremba et al. 2014)."""

    after: Annotated[int, AtLeast(0)] = 4
    rate: Annotated[float, Range(above=0, most=1)] = 0.5

    def factor(self, update: int, plan: Plan) -> float:
        return self.rate ** max(0, plan.epoch(update) + 1 - self.after)


@dataclass(frozen=True)
class Plateau(Schedule):
    """Divide `lr` by `divide_by` when validation has not improved for more than `patience` epochs."""

    divide_by: Annotated[float, Above(1)] = 4.0
    patience: Annotated[int, AtLeast(0)] = 0

    def attach(self, optimizer: torch.optim.Optimizer, plan: Plan) -> LRScheduler:
        return ReduceLROnPlateau(optimizer, factor=1 / self.divide_by, patience=self.patience, threshold=0.0)
