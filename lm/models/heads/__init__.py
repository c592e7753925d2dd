"""Output layers, one per file. They are the options of the `model/head` group."""

from lm.models.heads.adaptive import Adaptive
from lm.models.heads.mixture_of_softmaxes import Mixture
from lm.models.heads.sampled_softmax import Sampled
from lm.models.heads.softmax import Softmax

__all__ = [
    "Adaptive",
    "Mixture",
    "Sampled",
    "Softmax",
]
