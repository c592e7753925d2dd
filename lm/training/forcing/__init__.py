"""What the model reads in training, and how often its weights are updated: the `forcing` group."""

from lm.training.forcing.decay import Exponential, InverseSigmoid, Linear
from lm.training.forcing.forcing import Forcing

__all__ = [
    "Exponential",
    "Forcing",
    "InverseSigmoid",
    "Linear",
]
