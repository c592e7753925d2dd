"""What is measured: the sizes of a model and its windows, and text of the right shape. Neither Hydra nor Lightning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lm.data.streams import Windows
from lm.models.lstm import LSTMLanguageModel


@dataclass(frozen=True)
class Sizes:
    """What is trained: the classic exercise unless said otherwise."""

    batch_size: int = 20
    window: int = 30
    embedding_size: int = 128
    hidden_size: int = 1024
    num_layers: int = 1
    vocab_size: int = 10_000

    def model(self) -> LSTMLanguageModel:
        return LSTMLanguageModel(self.vocab_size, self.embedding_size, self.hidden_size, self.num_layers)

    def windows(self, count: int) -> Windows:
        """Random text, words as frequent as Zipf's law has them."""
        weights = 1 / np.arange(1, self.vocab_size + 1)
        length = self.batch_size * (self.window * count + 1)
        ids = np.random.default_rng(0).choice(self.vocab_size, length, p=weights / weights.sum())
        return Windows(ids, self.batch_size, self.window)
