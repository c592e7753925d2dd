"""Language models as plain torch modules. `forward` reads a window, `step` a single token, `head` makes the output."""

from lm.models.contract.check import check
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.models.transformer_language_model import TransformerLanguageModel

__all__ = [
    "RecurrentLanguageModel",
    "TransformerLanguageModel",
    "check",
]
