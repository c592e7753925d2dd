"""The sizes of the measured model and its windows, and random text for them. Imports neither Hydra nor Lightning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from lm.data.streams import Windows
from lm.models.cells.cell import Cell
from lm.models.cells.lstm import LSTM
from lm.models.heads.adaptive import Adaptive
from lm.models.heads.softmax import Softmax
from lm.models.interfaces import HeadFactory
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.studies.benchmark.text import zipf_ids
from lm.system.bounds import AtLeast, Bounded, Count

PLAIN = LSTM()


@dataclass(frozen=True)
class Sizes(Bounded, group="sizes"):
    """The sizes of the trained model and its windows; the defaults are those of the classic exercise.

    Args:
        batch_size: number of parallel streams.
        window: tokens of each stream in a window.
        embedding_size: size of the word vectors.
        hidden_size: number of units in each LSTM layer.
        num_layers: number of LSTM layers.
        vocab_size: number of words; at least 3: `<eos>`, `<unk>` and one ordinary word.
        cutoffs: the cutoffs of an adaptive softmax; empty for a plain softmax.
    """

    batch_size: Count = 20
    window: Count = 30
    embedding_size: Count = 128
    hidden_size: Count = 1024
    num_layers: Count = 1
    vocab_size: Annotated[int, AtLeast(3)] = 10_000
    cutoffs: Sequence[int] = ()

    @property
    def flops(self) -> int:
        """Floating-point operations of one window's matrix products, forward and backward, with a full softmax."""
        layers = [self.embedding_size, *[self.hidden_size] * (self.num_layers - 1)]
        weights = sum(4 * self.hidden_size * (into + self.hidden_size) for into in layers)
        weights += self.hidden_size * self.vocab_size
        return 3 * 2 * weights * self.batch_size * self.window

    @property
    def head(self) -> HeadFactory:
        return Adaptive(self.cutoffs) if self.cutoffs else Softmax()

    def model(self, cell: Cell = PLAIN) -> RecurrentLanguageModel:
        sizes = (self.vocab_size, self.embedding_size, self.hidden_size, self.num_layers)
        return RecurrentLanguageModel(*sizes, head=self.head, cell=cell)

    def windows(self, count: int) -> Windows:
        """`count` windows of random text; the word frequencies follow Zipf's law."""
        ids = zipf_ids(self.batch_size * (self.window * count + 1), self.vocab_size)
        return Windows(ids, self.batch_size, self.window)
