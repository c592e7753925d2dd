"""What is measured: the sizes of a model and its windows, and text of the right shape. Neither Hydra nor Lightning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lm.data.streams import Windows
from lm.models.heads.adaptive import Adaptive
from lm.models.heads.softmax import Softmax
from lm.models.lstm_language_model import LSTMLanguageModel
from lm.studies.benchmark.text import zipf_ids
from lm.system.errors import UserError


@dataclass(frozen=True)
class Sizes:
    """What is trained: the classic exercise unless said otherwise."""

    batch_size: int = 20
    window: int = 30
    embedding_size: int = 128
    hidden_size: int = 1024
    num_layers: int = 1
    vocab_size: int = 10_000
    cutoffs: Sequence[int] = ()  # of an adaptive softmax; none: a plain one

    def __post_init__(self) -> None:
        for name in ("batch_size", "window", "embedding_size", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise UserError(f"sizes.{name} must be at least 1; got {getattr(self, name)}")
        if self.vocab_size < 3:
            raise UserError(f"sizes.vocab_size must be at least 3 (<eos>, <unk> and one word); got {self.vocab_size}")

    @property
    def flops(self) -> int:
        """Floating-point operations of a window's matrix products, forward and backward, with a whole softmax."""
        layers = [self.embedding_size, *[self.hidden_size] * (self.num_layers - 1)]
        weights = sum(4 * self.hidden_size * (into + self.hidden_size) for into in layers)
        weights += self.hidden_size * self.vocab_size
        return 3 * 2 * weights * self.batch_size * self.window

    def model(self) -> LSTMLanguageModel:
        head = Adaptive(self.cutoffs) if self.cutoffs else Softmax()
        sizes = (self.vocab_size, self.embedding_size, self.hidden_size, self.num_layers)
        return LSTMLanguageModel(*sizes, head=head)

    def windows(self, count: int) -> Windows:
        """Random text, words as frequent as Zipf's law has them."""
        ids = zipf_ids(self.batch_size * (self.window * count + 1), self.vocab_size)
        return Windows(ids, self.batch_size, self.window)
