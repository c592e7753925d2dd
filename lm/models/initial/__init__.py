"""Where weights start: as drawn, or from what the training text says (the `init` group)."""

from lm.models.initial.from_text import Cooccurrence, Random, Unigram

__all__ = [
    "Cooccurrence",
    "Random",
    "Unigram",
]
