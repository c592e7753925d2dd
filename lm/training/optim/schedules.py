"""Learning-rate schedules: the `optim/schedule` group."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from lm.system.bounds import PROBABILITY, Above, AtLeast, Bounded, Range


@dataclass(frozen=True)
class Plan:
    """The number of updates in a run: those already done, and those still to come under the present limits.

    A run may resume with limits that differ from its earlier ones. Updates and epochs that are done keep their numbers.

    Args:
        per_epoch: number of updates in each epoch from now on.
        epochs: number of epochs in the whole run.
        done: number of updates so far.
        epochs_done: number of complete epochs so far.
        in_epoch: number of updates so far in the current epoch.
    """

    per_epoch: int
    epochs: int
    done: int = 0
    epochs_done: int = 0
    in_epoch: int = 0

    @property
    def left_in_epoch(self) -> int:
        """The number of updates left in the current epoch."""
        return max(0, self.per_epoch - self.in_epoch)

    @property
    def total(self) -> int:
        """The number of updates in the whole run: those already done and those left."""
        epochs_left = self.epochs - self.epochs_done
        return self.done + (self.left_in_epoch + self.per_epoch * (epochs_left - 1) if epochs_left > 0 else 0)

    def epoch(self, update: int) -> int:
        """The epoch of update number `update` (at least `done`); updates and epochs are counted from 0."""
        beyond = update - self.done - self.left_in_epoch
        return self.epochs_done if beyond < 0 else self.epochs_done + 1 + beyond // self.per_epoch


class Schedule(Bounded, ABC, group="optim.schedule"):
    """A learning-rate schedule: it multiplies `optim.lr` by a factor that changes during training."""

    @abstractmethod
    def attach(self, optimizer: torch.optim.Optimizer, plan: Plan) -> LRScheduler: ...


def set_rates(schedule: Any) -> None:
    """Compute the next update's learning rate again, because a run's limits may differ from its checkpoint's."""
    if isinstance(schedule, LambdaLR):
        groups = schedule.optimizer.param_groups
        for group, base, factor in zip(groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
            group["lr"] = base * factor(schedule.last_epoch)


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
    """Linear warm-up during the fraction `warmup` of all updates, then half a cosine down to `final` times `lr`."""

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
    """The learning rate is `lr` for `after` epochs; each later epoch multiplies it by `rate` (Zaremba et al. 2014)."""

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
