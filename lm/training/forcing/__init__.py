"""What the model reads while it trains, and how often its weights change: the `forcing` group."""

from lm.training.forcing.decay import Exponential, InverseSigmoid, Linear
from lm.training.forcing.forcing import Forcing

__all__ = [
    "Exponential",
    "Forcing",
    "InverseSigmoid",
    "Linear",
]
