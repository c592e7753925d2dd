"""The Transformer language model: an embedding, attention over the last positions, and a head."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm.models.dropout import Dropout
from lm.models.heads.softmax import Softmax
from lm.models.initial.drawn import transformer_
from lm.models.interfaces import HeadFactory, LanguageModel, State
from lm.models.kernels.linear import Linear
from lm.models.weight_budget import within_weights
from lm.system.bounds import DROPOUT, Count, bounded
from lm.system.errors import UserError

SOFTMAX = Softmax()
BASE = 10_000.0  # unit pair k of D / 2 turns by BASE ** (-2 k / D) a position (Su et al. 2021)


class TransformerLanguageModel(LanguageModel):
    """A decoder-only Transformer (Vaswani et al. 2017), pre-norm, with rotary positions (Su et al. 2021).

    A position reads itself and the `context` positions before it, in every window alike: keys and values of the last
    `context` positions are the carried state (Dai et al. 2019). So a text has the same nats in windows of any length.

    Args:
        vocab_size: number of words.
        embedding_size: units of the embedding; if it is not `hidden_size`, a matrix leads from one to the other.
        hidden_size: units of each layer, a multiple of 2 * `heads`; None: as many as `weights` allows.
        num_layers: number of layers, each of attention and of a feed-forward network of 4 * `hidden_size` units.
        dropout: dropout rate of embedded words, of what each half of a layer adds, and before the head.
        tied: share the embedding and output matrix (Press & Wolf 2017).
        head: settings of the output layer.
        heads: number of attention heads.
        context: how many positions before its own a position reads.
        weights: the most weights that the model may have, if `hidden_size` is None.

    Raises:
        UserError: for sizes that do not fit together or are out of bounds.
    """

    @bounded("model")
    @within_weights(lambda settings: 2 * settings["heads"])
    def __init__(
        self,
        vocab_size: int,
        embedding_size: Count = 256,
        hidden_size: Count | None = 256,
        num_layers: Count = 4,
        dropout: Annotated[float, DROPOUT] = 0.1,
        tied: bool = True,
        head: HeadFactory = SOFTMAX,
        heads: Count = 4,
        context: Count = 128,
        weights: Count | None = None,
    ) -> None:
        super().__init__()
        assert hidden_size is not None  # `within_weights` has found it
        if hidden_size % (2 * heads):
            raise UserError(
                f"model.hidden_size must be a multiple of 2 * model.heads = {2 * heads}, so that each head has pairs "
                f"of units to rotate; got {hidden_size}"
            )
        self.vocab_size, self.context, self.units = vocab_size, context, hidden_size // heads
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        same = hidden_size == embedding_size
        self.widen = nn.Identity() if same else Linear(embedding_size, hidden_size, bias=False)
        self.layers = nn.ModuleList(Layer(hidden_size, heads, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)
        self.narrow = Linear(hidden_size, embedding_size, bias=False) if tied and not same else nn.Identity()
        self.dropout = self.output_dropout = Dropout(dropout, per="step")
        self.head = head.head(embedding_size if tied else hidden_size, self.embedding, tied)
        transformer_(self, [layer.adding for layer in self.layers])  # type: ignore[misc]

    def initial_state(self, batch_size: int) -> State:
        """How many positions are carried [B], then for each layer their keys and values [B, context, H]."""
        zeros = self.embedding.weight.new_zeros(batch_size, self.context, self.hidden_size)
        carried = torch.zeros(batch_size, dtype=torch.long, device=zeros.device)
        return [(carried,), *((zeros.clone(), zeros.clone()) for _ in self.layers)]

    def read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        steps = tokens.shape[1]
        x = self.widen(self.dropout(self.embedding(tokens)))  # B, T, H
        ((carried,), *memories), after = state, []
        visible = self._visible(carried, steps)
        turns = rotations(self.context + steps, self.units, x.device, self.embedding.weight.dtype)
        for layer, memory in zip(self.layers, memories, strict=True):
            x, keys, values = layer(x, *memory, visible, turns)
            after.append((keys[:, steps:], values[:, steps:]))
        return self.narrow(self.norm(x)), [((carried + steps).clamp(max=self.context),), *after]

    def read_one(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x, state = self.read(tokens.unsqueeze(1), state)
        return x.squeeze(1), state

    def _visible(self, carried: Tensor, steps: int) -> Tensor:
        """Which of the carried positions and those of the window each position reads [B, 1, T, context + T], bool."""
        place = torch.arange(self.context + steps, device=carried.device)
        own = place[self.context :].unsqueeze(1)  # T, 1
        near = (place <= own) & (place >= own - self.context)  # T, context + T
        there = place >= self.context - carried.unsqueeze(1)  # B, context + T
        return (near & there.unsqueeze(1)).unsqueeze(1)


class Layer(nn.Module):
    """Attention, then a feed-forward network; each adds to what it reads, after normalising it."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.network_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.queries_keys_values, self.attended = Linear(size, 3 * size), Linear(size, size)
        self.up, self.down = Linear(size, 4 * size), Linear(4 * size, size)
        self.dropout = Dropout(dropout, per="step")

    @property
    def adding(self) -> list[Linear]:
        """The linear maps whose output is added to what the layer reads."""
        return [self.attended, self.down]

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, visible: Tensor, turns: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read x [B, T, H] after the carried keys and values [B, C, H].

        Returns [B, T, H], and keys and values with those of the window [B, C + T, H]. `turns`: see `rotations`. Keys
        are kept as they are before their rotation.
        """
        steps = x.shape[1]
        queries, new_keys, new_values = self.queries_keys_values(self.attention_norm(x)).chunk(3, dim=-1)
        keys, values = torch.cat([keys, new_keys], dim=1), torch.cat([values, new_values], dim=1)
        by_head = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (queries, keys, values)]
        q, k, v = rotated(by_head[0], turns[:, -steps:]), rotated(by_head[1], turns), by_head[2]
        attended = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, attn_mask=visible)
        x = x + self.dropout(self.attended(attended.transpose(1, 2).flatten(2)))
        x = x + self.dropout(self.down(F.gelu(self.up(self.network_norm(x)))))
        return x, keys, values


@lru_cache(maxsize=16)
def rotations(positions: int, units: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The cosines and sines [2, positions, units / 2] by which the pairs of a head's units are rotated.

    A product of a rotated query and a rotated key depends on the distance between them alone, so positions may be
    counted from the first carried one.
    """
    with torch.inference_mode(False):  # so that training may use what an evaluation has kept here
        # In float64: in float32 an angle's error grows with the position. Apple's GPU has no float64.
        speeds = BASE ** (-torch.arange(0, units, 2, dtype=torch.float64, device="cpu") / units)
        angles = torch.arange(positions, device="cpu").unsqueeze(1) * speeds
        return torch.stack([angles.cos(), angles.sin()]).to(device, dtype)


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    """Rotate pairs of units of x [B, heads, T, D], unit d with unit d + D / 2; see `rotations`."""
    (cos, sin), (first, second) = turns, x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
