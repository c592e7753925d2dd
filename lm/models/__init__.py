"""Language models as plain torch modules: `forward(tokens, state)`, `step` for single tokens, `head` for the output."""

from lm.models.lstm_language_model import LSTMLanguageModel
from lm.models.stacked_language_model import StackedLanguageModel

__all__ = [
    "LSTMLanguageModel",
    "StackedLanguageModel",
]
