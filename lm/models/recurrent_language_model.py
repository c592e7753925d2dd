"""The recurrent language model: an embedding, layers of any cell, and a head."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from lm.models.cells.cell import Cell, RecurrentLayer
from lm.models.cells.lstm import LSTM
from lm.models.dropout import Dropout, Per, RowDropout
from lm.models.heads.softmax import Softmax
from lm.models.initial.drawn import embedding_and_output_, shared_embedding_, uniform_
from lm.models.interfaces import HeadFactory, LanguageModel, State
from lm.models.weight_budget import within_weights
from lm.system.bounds import DROPOUT, Above, Count, bounded
from lm.system.errors import UserError

SOFTMAX, PLAIN = Softmax(), LSTM()

Rate = Annotated[float, DROPOUT] | None
PLACES = ("input_dropout", "layer_dropout", "output_dropout")


class RecurrentLanguageModel(LanguageModel):
    """An embedding, stacked recurrent layers, and a head.

    The defaults are the classic LSTM (Mikolov et al. 2010, with the dropout of Zaremba et al. 2014). Other settings
    make AWD-LSTM (Merity et al. 2018), the LSTM of Zaremba et al. (2014), and the Mogrifier (Melis et al. 2020).

    Args:
        vocab_size: number of words.
        embedding_size: units of the embedding.
        hidden_size: units of each layer but the last; None: as many as `weights` allows.
        num_layers: number of recurrent layers.
        dropout: dropout rate of the three places below that are None.
        tied: share the embedding and output matrix (Press & Wolf 2017). With a `head` of one softmax, embedding and
            last layer must have one size.
        head: settings of the output layer.
        cell: settings of the recurrent cell.
        last_size: units of the last layer; None: `embedding_size` if `tied`, else `hidden_size`.
        weights: the most weights that the model may have, if `hidden_size` is None.
        embedding_dropout: dropout rate of whole words, with one mask for a whole window.
        input_dropout: dropout rate of embedded words.
        layer_dropout: dropout rate between layers.
        output_dropout: dropout rate before the head.
        dropout_per: whether input, layer and output dropout draw one mask per window or one per time step.
        sum_layers: the output is the sum of all layers' outputs.
        init_scale: draw every weight uniformly within +- `init_scale` (Zaremba), then add the cell's `forget_bias`;
            None: each part has its own initialisation.
        embedding_init: without `init_scale`, draw embedding and untied output matrix uniformly within +- this number,
            with an output bias of 0. None: from a truncated normal of variance 1 / fan-in. "torch": as PyTorch draws
            them; tied, uniformly within +- 0.1.

    Raises:
        UserError: for sizes, scales or dropout rates that do not fit together or are out of bounds.
    """

    @bounded("model")
    @within_weights()
    def __init__(
        self,
        vocab_size: int,
        embedding_size: Count = 128,
        hidden_size: Count | None = 1024,
        num_layers: Count = 1,
        dropout: Rate = None,
        tied: bool = False,
        head: HeadFactory = SOFTMAX,
        cell: Cell = PLAIN,
        last_size: Count | None = None,
        weights: Count | None = None,
        embedding_dropout: Annotated[float, DROPOUT] = 0.0,
        input_dropout: Rate = None,
        layer_dropout: Rate = None,
        output_dropout: Rate = None,
        dropout_per: Per = "step",
        sum_layers: bool = False,
        init_scale: Annotated[float, Above(0)] | None = None,
        embedding_init: Annotated[float, Above(0)] | Literal["torch"] | None = "torch",
    ) -> None:
        super().__init__()
        assert hidden_size is not None  # `within_weights` has found it
        sizes = layer_sizes(embedding_size, hidden_size, num_layers, tied, last_size)
        if sum_layers and len(set(sizes[1:])) > 1:
            raise UserError(
                "model.sum_layers=true adds the layers' outputs, so all must have one size; "
                f"got model.hidden_size={hidden_size} and a last layer of {sizes[-1]}"
            )
        at_input, between, at_output = rates(dropout, input_dropout, layer_dropout, output_dropout)
        self.vocab_size = vocab_size
        self.sum_layers = sum_layers
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.layers = nn.ModuleList(cell.layer(into, out) for into, out in pairwise(sizes))
        self.embedding_dropout = RowDropout(embedding_dropout)
        self.input_dropout = Dropout(at_input, dropout_per)
        # One module for each place, because each keeps its own mask.
        self.layer_dropouts = nn.ModuleList(Dropout(between, dropout_per) for _ in range(num_layers - 1))
        self.output_dropout = Dropout(at_output, dropout_per)
        if tied and embedding_init == "torch":
            shared_embedding_(self.embedding.weight)
        self.head = head.head(sizes[-1], self.embedding, tied)
        if init_scale is not None:
            uniform_(self.parameters(), init_scale)
            for layer, _ in self.cells:
                layer.open_forget_gates()
        elif embedding_init != "torch":
            embedding_and_output_(self.embedding.weight, self.head.output, embedding_init)

    @property
    def cells(self) -> Iterator[tuple[RecurrentLayer, Dropout | None]]:
        """Yields each recurrent layer and the dropout after it; None for the last, which `output_dropout` follows."""
        return zip(self.layers, [*self.layer_dropouts, None], strict=True)  # type: ignore[arg-type]

    def initial_state(self, batch_size: int) -> State:
        return [layer.first(batch_size) for layer, _ in self.cells]

    def read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return self._through_layers("window", tokens, state)

    def read_one(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return self._through_layers("step", tokens, state)

    def _through_layers(self, read: Literal["window", "step"], tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x, outputs, after = self._embedded(tokens), [], []  # B, T, E or B, E
        for (layer, dropout), memory in zip(self.cells, state, strict=True):
            out, memory = getattr(layer, read)(x, memory)  # B, T, H or B, H
            after.append(memory)
            outputs.append(out)
            x = out if dropout is None else dropout(out)
        return torch.stack(outputs).sum(0) if self.sum_layers else outputs[-1], after

    def _embedded(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.embedding_dropout(self.embedding(tokens), tokens, self.vocab_size)
        x = self.input_dropout(x)
        return x


def layer_sizes(embedding: int, hidden: int, layers: int, tied: bool, last: int | None) -> list[int]:
    """The size of the embedding and of each layer after it. Raises UserError if `hidden` would have no effect."""
    last = last or (embedding if tied else hidden)
    if layers == 1 and hidden != last:
        raise UserError(
            f"model.hidden_size={hidden} has no effect: the only layer is the last, of {last} units "
            f"(model.last_size; null: the embedding's size if model.tied=true). Set both to one number"
        )
    return [embedding, *[hidden] * (layers - 1), last]


def rates(dropout: float | None, *places: float | None) -> list[float]:
    """The dropout rate of each of `PLACES`. Raises UserError if `dropout` would have no effect."""
    if dropout and None not in places:
        raise UserError(
            f"model.dropout={dropout} has no effect: {', '.join(f'model.{place}' for place in PLACES)} are all set; "
            "leave it out (model.dropout=null), or make those null"
        )
    return [rate if rate is not None else dropout or 0.0 for rate in places]
