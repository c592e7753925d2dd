"""The LSTM language model: embedding, stacked LSTM layers, softmax over the vocabulary."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from lm.errors import UserError
from lm.models.base import LanguageModel, State
from lm.models.head import SoftmaxHead
from lm.models.linear import linear


class LSTMLanguageModel(LanguageModel):
    """A word-level LSTM language model (Mikolov et al. 2010; Zaremba et al. 2014 for where dropout goes).

    Sizes are numbers of units. `dropout` is the share of units dropped from the embedding, between layers and before
    the output. `tied` shares embedding and output matrix (Press & Wolf 2017) and needs `embedding_size` equal to
    `hidden_size`. Raises UserError for sizes that make no model.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int = 128,
        hidden_size: int = 1024,
        num_layers: int = 1,
        dropout: float = 0.0,
        tied: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"embedding_size": embedding_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for name, size in sizes.items():
            if size < 1:
                raise UserError(f"model.{name} must be at least 1; got {size}")
        if not 0 <= dropout < 1:
            raise UserError(f"model.dropout must be at least 0 and below 1; got {dropout}")
        if tied and embedding_size != hidden_size:
            raise UserError(
                "model.tied=true shares one matrix, so model.embedding_size and model.hidden_size must be equal; "
                f"got {embedding_size} and {hidden_size}"
            )
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        # Single layers, and dropout of our own between them: cuDNN's has a random state that no checkpoint holds.
        self.layers = nn.ModuleList(
            nn.LSTM(embedding_size if i == 0 else hidden_size, hidden_size, batch_first=True) for i in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout)
        if tied:
            # N(0, 1) suits an embedding alone; as an output matrix it would start far from a uniform distribution.
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.head = SoftmaxHead(hidden_size, vocab_size, self.embedding.weight if tied else None)

    @property
    def lstms(self) -> Iterator[nn.LSTM]:
        return (layer for layer in self.layers if isinstance(layer, nn.LSTM))

    def initial_state(self, batch_size: int) -> State:
        zeros = self.embedding.weight.new_zeros
        return [tuple(zeros(batch_size, lstm.hidden_size) for _ in ("h", "c")) for lstm in self.lstms]

    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x = self.dropout(self.embedding(tokens))  # B, T, E
        after: State = []
        for lstm, (h, c) in zip(self.lstms, state, strict=True):
            x, (h, c) = lstm(x, (h.unsqueeze(0), c.unsqueeze(0)))
            x = self.dropout(x)  # B, T, H
            after.append((h.squeeze(0), c.squeeze(0)))
        return x, after

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x = self.dropout(self.embedding(tokens))  # B, E
        after: State = []
        for lstm, (h, c) in zip(self.lstms, state, strict=True):
            h, c = cell(x, h, c, *lstm.all_weights[0])
            x = self.dropout(h)  # B, H
            after.append((h, c))
        return x, after


def cell(
    x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: x [B, E], h and c [B, H] -> the next h and c; gates in torch's order i, f, g, o."""
    i, f, g, o = (linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)).chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
