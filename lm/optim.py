"""Optimisers and learning-rate schedules: what the `optim` group of the configuration chooses."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from lm.averaging import Averaging
from lm.errors import UserError


class Schedule(ABC):
    """The learning rate as a share of `optim.lr`."""

    @abstractmethod
    def attach(self, optimizer: torch.optim.Optimizer, updates_per_epoch: int, total_updates: int) -> LRScheduler: ...


class PerUpdate(Schedule):
    """A schedule that knows its factor for each update in advance."""

    @abstractmethod
    def factor(self, update: int, updates_per_epoch: int, total_updates: int) -> float: ...

    def attach(self, optimizer: torch.optim.Optimizer, updates_per_epoch: int, total_updates: int) -> LRScheduler:
        return LambdaLR(optimizer, lambda update: self.factor(update, updates_per_epoch, total_updates))


@dataclass(frozen=True)
class Constant(PerUpdate):
    """`lr` throughout."""

    def factor(self, update: int, updates_per_epoch: int, total_updates: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine(PerUpdate):
    """Linear warm-up over the share `warmup` of all updates, then half a cosine down to the share `final` of `lr`."""

    warmup: float = 0.02
    final: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1 or not 0 <= self.final <= 1:
            raise UserError(
                f"optim.schedule needs 0 <= warmup < 1 and 0 <= final <= 1; got {self.warmup} and {self.final}"
            )

    def factor(self, update: int, updates_per_epoch: int, total_updates: int) -> float:
        warm = round(self.warmup * total_updates)
        if update < warm:
            return (update + 1) / warm
        progress = min(1.0, (update - warm) / max(1, total_updates - warm))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class EpochDecay(PerUpdate):
    """`lr` for the first `after` epochs, then times `rate` at each further one (Zaremba et al. 2014)."""

    after: int = 4
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.after < 0 or not 0 < self.rate <= 1:
            raise UserError(f"optim.schedule needs after >= 0 and 0 < rate <= 1; got {self.after} and {self.rate}")

    def factor(self, update: int, updates_per_epoch: int, total_updates: int) -> float:
        epoch = update // updates_per_epoch  # from 0
        return self.rate ** max(0, epoch + 1 - self.after)


@dataclass(frozen=True)
class Plateau(Schedule):
    """Divide `lr` by `divide_by` whenever validation has not improved for more than `patience` epochs."""

    divide_by: float = 4.0
    patience: int = 0

    def __post_init__(self) -> None:
        if self.divide_by <= 1 or self.patience < 0:
            raise UserError(
                f"optim.schedule needs divide_by > 1 and patience >= 0; got {self.divide_by} and {self.patience}"
            )

    def attach(self, optimizer: torch.optim.Optimizer, updates_per_epoch: int, total_updates: int) -> LRScheduler:
        return ReduceLROnPlateau(optimizer, factor=1 / self.divide_by, patience=self.patience, threshold=0.0)


@dataclass(frozen=True)
class Optim(ABC):
    """What every optimiser has: `lr`, `weight_decay`, `clip` (largest norm of the gradient; 0: no clipping).

    With `average` an average of the weights is what is evaluated and saved.
    """

    lr: float
    weight_decay: float = 0.0
    clip: float = 0.5
    schedule: Schedule = field(default_factory=Constant)
    average: Averaging | None = None

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise UserError(f"optim.lr must be above 0; got {self.lr}")
        for name in ("weight_decay", "clip"):
            if getattr(self, name) < 0:
                raise UserError(f"optim.{name} must not be negative; got {getattr(self, name)}")

    @abstractmethod
    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer: ...


@dataclass(frozen=True)
class Adam(Optim):
    """Adam (Kingma & Ba 2015); `weight_decay` is L2, added to the gradient. One fused pass over the weights."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"optim.betas must be two numbers from 0 to below 1; got {list(self.betas)}")
        if self.eps < 0:
            raise UserError(f"optim.eps must not be negative; got {self.eps}")

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.lr, self.betas, self.eps, self.weight_decay, fused=True)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019) on matrices, not on biases."""

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        parameters = list(parameters)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.ndim >= 2]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, self.lr, self.betas, self.eps, self.weight_decay, fused=True)


@dataclass(frozen=True)
class SGD(Optim):
    """Plain stochastic gradient descent, with `momentum` if wanted."""

    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.momentum < 0:
            raise UserError(f"optim.momentum must not be negative; got {self.momentum}")

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, self.lr, self.momentum, weight_decay=self.weight_decay, fused=True)


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """Scale all gradients together so that their norm is at most `largest` (Pascanu et al. 2013)."""
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    # On a CPU looking costs nothing and mostly saves a pass over all gradients; a GPU would have to wait for it.
    # Tried and left: the fused optimisers' own grad_scale, which saves the pass too, but writes the gradient back (2 of
    # 70 ms a token update at the classic exercise's size); norms by torch.dot (1 of 37 ms).
    if norm.device.type != "cpu" or not norm <= largest:
        nn.utils.clip_grads_with_norm_(parameters, largest, norm)


@contextmanager
def scaled_rates(optimizer: Any, share: float) -> Iterator[None]:
    """Every learning rate times `share`, for the steps inside; schedules and checkpoints know of the whole one only."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] *= share
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
