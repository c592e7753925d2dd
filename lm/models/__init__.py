"""Language models as plain torch modules. `forward` reads a window, `step` a single token, `head` makes the output."""

from lm.models.lstm_language_model import LSTMLanguageModel
from lm.models.stacked_language_model import StackedLanguageModel

__all__ = [
    "LSTMLanguageModel",
    "StackedLanguageModel",
]
