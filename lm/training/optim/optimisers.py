"""Optimisers: the `optim` group of the configuration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import nn

from lm.system.bounds import Above, AtLeast, Bounded, Range
from lm.training.optim.averages import Averaging
from lm.training.optim.schedules import Constant, Schedule


@dataclass(frozen=True)
class Optim(Bounded, ABC, group="optim"):
    """Settings that all optimisers share.

    Args:
        lr: learning rate.
        weight_decay: weight decay.
        clip: largest norm of the gradient (0: no clipping).
        schedule: learning-rate schedule.
        average: settings of an average of the weights, which is evaluated and saved instead of them (null: no average).
    """

    lr: Annotated[float, Above(0)]
    weight_decay: Annotated[float, AtLeast(0)] = 0.0
    clip: Annotated[float, AtLeast(0)] = 0.5
    schedule: Schedule = field(default_factory=Constant)
    average: Averaging | None = None

    @abstractmethod
    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer: ...


@dataclass(frozen=True)
class Adam(Optim):
    """Adam (Kingma & Ba 2015), in torch's fused version. `weight_decay` is an L2 penalty, added to the gradient."""

    betas: Annotated[tuple[float, float], Range(least=0, below=1)] = (0.9, 0.999)
    eps: Annotated[float, AtLeast(0)] = 1e-8

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.lr, self.betas, self.eps, self.weight_decay, fused=True)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019) of matrices, but not of biases."""

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        parameters = list(parameters)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.ndim >= 2]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, self.lr, self.betas, self.eps, self.weight_decay, fused=True)


@dataclass(frozen=True)
class SGD(Optim):
    """Stochastic gradient descent, optionally with `momentum`."""

    momentum: Annotated[float, AtLeast(0)] = 0.0

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, self.lr, self.momentum, weight_decay=self.weight_decay, fused=True)


@contextmanager
def scaled_rates(optimizer: Any, share: float) -> Iterator[None]:
    """Inside the context, multiply every learning rate by `share`. On exit, the earlier rates are restored."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] *= share
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
