"""Optimisers, learning-rate schedules, gradient clipping, averages of weights: the `optim` group."""

from lm.training.optim.averages import Exponential, NonMonotonic, Stalled, Tail, Timed
from lm.training.optim.optimisers import SGD, Adam, AdamW
from lm.training.optim.schedules import Constant, Cosine, EpochDecay, Plateau

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "EpochDecay",
    "Exponential",
    "NonMonotonic",
    "Plateau",
    "Stalled",
    "Tail",
    "Timed",
]
