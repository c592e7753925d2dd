"""The LSTM language model: embedding, stacked LSTM layers, softmax over the vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from torch import Tensor, nn

from lm.models.cells.lstm import lstm_step
from lm.models.heads.softmax import Softmax
from lm.models.initial.drawn import shared_embedding_
from lm.models.interfaces import HeadFactory, LanguageModel, State
from lm.models.kernels.full_precision import full_precision
from lm.system.bounds import DROPOUT, Count, bounded

SOFTMAX = Softmax()


class LSTMLanguageModel(LanguageModel):
    """A word-level LSTM language model (Mikolov et al. 2010; the places of dropout are those of Zaremba et al. 2014).

    Args:
        vocab_size: number of words.
        embedding_size: units of the embedding.
        hidden_size: units of each LSTM layer.
        num_layers: number of LSTM layers.
        dropout: dropout rate after the embedding, between layers and before the output.
        tied: share the embedding and output matrix (Press & Wolf 2017). With a `head` of one softmax this needs
            `embedding_size` equal to `hidden_size`.
        head: settings of the output layer.

    Raises:
        UserError: for sizes that do not fit together or are out of bounds.
    """

    @bounded("model")
    def __init__(
        self,
        vocab_size: int,
        embedding_size: Count = 128,
        hidden_size: Count = 1024,
        num_layers: Count = 1,
        dropout: Annotated[float, DROPOUT] = 0.0,
        tied: bool = False,
        head: HeadFactory = SOFTMAX,
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        # Single layers with our own dropout between them: cuDNN's dropout has an RNG state that no checkpoint holds.
        self.layers = nn.ModuleList(
            nn.LSTM(embedding_size if i == 0 else hidden_size, hidden_size, batch_first=True) for i in range(num_layers)
        )
        self.dropout = self.output_dropout = nn.Dropout(dropout)
        if tied:
            shared_embedding_(self.embedding.weight)
        self.head = head.head(hidden_size, self.embedding, tied)

    @property
    def lstms(self) -> Iterator[nn.LSTM]:
        return (layer for layer in self.layers if isinstance(layer, nn.LSTM))

    def initial_state(self, batch_size: int) -> State:
        zeros = self.embedding.weight.new_zeros
        return [tuple(zeros(batch_size, lstm.hidden_size) for _ in ("h", "c")) for lstm in self.lstms]

    def read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x = self.embedding(tokens)  # B, T, E
        after: State = []
        for lstm, (h, c) in zip(self.lstms, state, strict=True):
            # Autocast would run cuDNN's LSTM in fp16 whatever its dtype is, and small gradients would vanish.
            with full_precision(self.dropout(x), h.unsqueeze(0), c.unsqueeze(0), on="cuda") as (x, h, c):
                x, (h, c) = lstm(x, (h, c))  # B, T, H
            after.append((h.squeeze(0), c.squeeze(0)))
        return x, after

    def read_one(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x = self.embedding(tokens)  # B, E
        after: State = []
        for lstm, (h, c) in zip(self.lstms, state, strict=True):
            x, c = lstm_step(self.dropout(x), h, c, *lstm.all_weights[0])  # B, H
            after.append((x, c))
        return x, after
