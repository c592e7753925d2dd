"""Stacked recurrent layers with dropout in all places that published recipes use."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from lm.models.cells.cell import Cell, RecurrentLayer
from lm.models.cells.lstm import LSTM
from lm.models.dropout import Dropout, Per, RowDropout
from lm.models.heads.softmax import Softmax
from lm.models.initial.drawn import embedding_and_output_, uniform_
from lm.models.interfaces import HeadFactory, LanguageModel, State
from lm.system.bounds import DROPOUT, Above, Count, bounded
from lm.system.errors import UserError

SOFTMAX, PLAIN = Softmax(), LSTM()


class StackedLanguageModel(LanguageModel):
    """An embedding, stacked recurrent layers, and a head.

    Its settings include AWD-LSTM (Merity et al. 2018), the LSTM of Zaremba et al. (2014), and the Mogrifier.

    Args:
        vocab_size: number of words.
        embedding_size: units of the embedding.
        hidden_size: units of each layer but the last.
        last_size: units of the last layer; None: `embedding_size` if `tied`, else `hidden_size`.
        num_layers: number of recurrent layers.
        tied: share the embedding and output matrix.
        cell: settings of the recurrent cell.
        head: settings of the output layer.
        embedding_dropout: dropout rate of whole words, with one mask for a whole window.
        input_dropout: dropout rate of embedded words.
        layer_dropout: dropout rate between layers.
        output_dropout: dropout rate before the head.
        dropout_per: whether input, layer and output dropout draw one mask per window or one per time step.
        sum_layers: the output is the sum of all layers' outputs.
        init_scale: draw every weight uniformly within +- `init_scale` (Zaremba), then add the cell's `forget_bias`;
            None: each cell has its own initialisation.
        embedding_init: without `init_scale`, draw embedding and untied output matrix uniformly within +- this number;
            None: truncated normal of variance 1 / fan-in. The output bias starts at 0.

    Raises:
        UserError: for sizes or scales that do not fit together or are out of bounds.
    """

    @bounded("model")
    def __init__(
        self,
        vocab_size: int,
        embedding_size: Count = 400,
        hidden_size: Count = 1150,
        last_size: Count | None = None,
        num_layers: Count = 3,
        tied: bool = True,
        cell: Cell = PLAIN,
        head: HeadFactory = SOFTMAX,
        embedding_dropout: Annotated[float, DROPOUT] = 0.0,
        input_dropout: Annotated[float, DROPOUT] = 0.0,
        layer_dropout: Annotated[float, DROPOUT] = 0.0,
        output_dropout: Annotated[float, DROPOUT] = 0.0,
        dropout_per: Per = "window",
        sum_layers: bool = False,
        init_scale: Annotated[float, Above(0)] | None = None,
        embedding_init: Annotated[float, Above(0)] | None = 0.1,
    ) -> None:
        super().__init__()
        last_size = (embedding_size if tied else hidden_size) if last_size is None else last_size
        sizes = [embedding_size, *[hidden_size] * (num_layers - 1), last_size]
        if sum_layers and len(set(sizes[1:])) > 1:
            raise UserError(
                "model.sum_layers=true adds the layers' outputs, so all must have one size; "
                f"got model.hidden_size={hidden_size} and a last layer of {last_size}"
            )
        self.vocab_size = vocab_size
        self.sum_layers = sum_layers
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.layers = nn.ModuleList(cell.layer(into, out) for into, out in pairwise(sizes))
        self.embedding_dropout = RowDropout(embedding_dropout)
        self.input_dropout = Dropout(input_dropout, dropout_per)
        # One module for each place, because each keeps its own mask.
        self.layer_dropouts = nn.ModuleList(Dropout(layer_dropout, dropout_per) for _ in range(num_layers - 1))
        self.output_dropout = Dropout(output_dropout, dropout_per)
        self.head = head.head(last_size, self.embedding, tied)
        self._initialise(init_scale, embedding_init)

    def _initialise(self, scale: float | None, embedding_scale: float | None) -> None:
        if scale is None:
            embedding_and_output_(self.embedding.weight, self.head.output, embedding_scale)
            return
        uniform_(self.parameters(), scale)
        for layer, _ in self.cells:
            layer.open_forget_gates()

    @property
    def cells(self) -> Iterator[tuple[RecurrentLayer, Dropout | None]]:
        """Yields each recurrent layer and the dropout after it; None for the last, which `output_dropout` follows."""
        return zip(self.layers, [*self.layer_dropouts, None], strict=True)  # type: ignore[arg-type]

    def initial_state(self, batch_size: int) -> State:
        zeros = self.embedding.weight.new_zeros
        return [tuple(zeros(batch_size, layer.hidden_size) for _ in ("h", "c")) for layer, _ in self.cells]

    def _embedded(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.embedding_dropout(self.embedding(tokens), tokens, self.vocab_size)
        x = self.input_dropout(x)
        return x

    def read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x = self._embedded(tokens)  # B, T, E
        after: State = []
        outputs = []
        for (layer, dropout), memory in zip(self.cells, state, strict=True):
            out, memory = layer.window(x, memory)  # B, T, H
            after.append(memory)
            outputs.append(out)
            x = out if dropout is None else dropout(out)
        return self._joined(outputs), after

    def read_one(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x = self._embedded(tokens)  # B, E
        after: State = []
        for (layer, dropout), memory in zip(self.cells, state, strict=True):
            memory = layer.step(x, memory)
            after.append(memory)
            x = memory[0] if dropout is None else dropout(memory[0])
        return self._joined([memory[0] for memory in after]), after

    def _joined(self, outputs: list[Tensor]) -> Tensor:
        return torch.stack(outputs).sum(0) if self.sum_layers else outputs[-1]
