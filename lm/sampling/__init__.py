"""Text generation from a model and a prompt."""

from lm.sampling.generate import generate, texts
from lm.sampling.sampler import Sampler, draw

__all__ = [
    "Sampler",
    "draw",
    "generate",
    "texts",
]
