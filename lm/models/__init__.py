"""Plain modules: `forward(tokens, state)`, `step` for single tokens, a `head` for nats and logits."""

from lm.models.lstm_language_model import LSTMLanguageModel
from lm.models.stacked_language_model import StackedLanguageModel

__all__ = [
    "LSTMLanguageModel",
    "StackedLanguageModel",
]
