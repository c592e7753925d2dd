"""Learning-rate schedules: the `optim/schedule` group."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from lm.system.bounds import PROBABILITY, Above, AtLeast, Bounded, Range


class Schedule(Bounded, ABC, group="optim.schedule"):
    """The learning rate as a share of `optim.lr`."""

    @abstractmethod
    def attach(self, optimizer: torch.optim.Optimizer, updates_per_epoch: int, total_updates: int) -> LRScheduler: ...


class PerUpdate(Schedule):
    """A schedule whose factor depends only on the number of the update."""

    @abstractmethod
    def factor(self, update: int, updates_per_epoch: int, total_updates: int) -> float: ...

    def attach(self, optimizer: torch.optim.Optimizer, updates_per_epoch: int, total_updates: int) -> LRScheduler:
        return LambdaLR(optimizer, lambda update: self.factor(update, updates_per_epoch, total_updates))


@dataclass(frozen=True)
class Constant(PerUpdate):
    """A constant learning rate."""

    def factor(self, update: int, updates_per_epoch: int, total_updates: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine(PerUpdate):
    """Linear warm-up over the fraction `warmup` of all updates, then a half cosine down to `final` times `lr`."""

    warmup: Annotated[float, Range(least=0, below=1)] = 0.02
    final: Annotated[float, PROBABILITY] = 0.0

    def factor(self, update: int, updates_per_epoch: int, total_updates: int) -> float:
        warm = round(self.warmup * total_updates)
        if update < warm:
            return (update + 1) / warm
        progress = min(1.0, (update - warm) / max(1, total_updates - warm))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class EpochDecay(PerUpdate):
    """`lr` for the first `after` epochs, then multiplied by `rate` at each later epoch (Zaremba et al. 2014)."""

    after: Annotated[int, AtLeast(0)] = 4
    rate: Annotated[float, Range(above=0, most=1)] = 0.5

    def factor(self, update: int, updates_per_epoch: int, total_updates: int) -> float:
        epoch = update // updates_per_epoch  # from 0
        return self.rate ** max(0, epoch + 1 - self.after)


@dataclass(frozen=True)
class Plateau(Schedule):
    """Divide `lr` by `divide_by` when validation has not improved for more than `patience` epochs."""

    divide_by: Annotated[float, Above(1)] = 4.0
    patience: Annotated[int, AtLeast(0)] = 0

    def attach(self, optimizer: torch.optim.Optimizer, updates_per_epoch: int, total_updates: int) -> LRScheduler:
        return ReduceLROnPlateau(optimizer, factor=1 / self.divide_by, patience=self.patience, threshold=0.0)
