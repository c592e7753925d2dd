"""Initial weights: drawn at random, or computed from the training text (the `init` group)."""

from lm.models.initial.from_text import Cooccurrence, Random, Unigram

__all__ = [
    "Cooccurrence",
    "Random",
    "Unigram",
]
