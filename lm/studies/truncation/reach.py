"""How far gradients reach: the norm of d loss(t) / d state(t - k) for k = 0, 1, 2, ..."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lm.models.interfaces import LanguageModel, detach
from lm.system.errors import UserError


class Reach(NamedTuple):
    """Over several places and streams, for each k: the mean of the norms, and the 10th and 90th percentile."""

    mean: list[float]
    low: list[float]
    high: list[float]

    def steps_to(self, share: float) -> int | None:
        """The first k from which on all means are at most `share` of the mean at k = 0; None if there is none."""
        above = [k for k, norm in enumerate(self.mean) if norm > share * self.mean[0]]
        return above[-1] + 1 if above[-1] + 1 < len(self.mean) else None

    def share_at(self, k: int) -> float:
        """The mean at k steps back as a share of the mean at k = 0; the last one followed where k is beyond it."""
        return self.mean[min(k, len(self.mean) - 1)] / self.mean[0]

    def share_cut(self, window: int) -> float:
        """What share of the summed norms a detach before every `window` tokens drops, averaged over its tokens.

        The loss at a window's i-th token, counted from 1, reaches i states: k = 0 .. i - 1.
        """
        total = sum(self.mean)
        return float(np.mean([sum(self.mean[i:]) / total for i in range(1, window + 1)]))


def reach(model: LanguageModel, streams: np.ndarray, steps: int, places: int) -> Reach:
    """`gradient_norms` of ids [B, N], its first `places` pieces of `steps` + 1 tokens, as a `Reach`."""
    norms = gradient_norms(model, streams, steps, places)
    low, high = torch.quantile(norms, torch.tensor([0.1, 0.9], dtype=norms.dtype), dim=0)
    return Reach(norms.mean(dim=0).tolist(), low.tolist(), high.tolist())


def gradient_norms(model: LanguageModel, streams: np.ndarray, steps: int, places: int) -> Tensor:
    """Norms [places * B, steps + 1] in float64: of the loss at a piece's end, by the whole state k steps before.

    At k = 0 that is the hidden vector which the loss is computed from. The state is carried from piece to piece; the
    model is left as it is; dropout is off. Raises UserError for a text that is too short.
    """
    length = steps + 1
    if streams.shape[1] <= places * length:
        raise UserError(
            f"following gradients over {steps} steps at {places} places needs {places * length + 1} tokens in each "
            f"of {len(streams)} streams; there are {streams.shape[1]}: lower reach or places"
        )
    # In float32 small norms would end in rounding, and smaller ones in zeros.
    model = copy.deepcopy(model).double().eval()
    ids = torch.from_numpy(streams.astype(np.int64)).to(model.embedding.weight.device)
    state, found = model.initial_state(len(ids)), []
    for place in range(places):
        first = place * length
        state, states = detach(state), []
        for t in range(first, first + length):
            hidden, state = model.step(ids[:, t], state)
            # Clones, because an LSTM's h is made of its c: a gradient by c itself would count the way over h twice.
            state = [tuple(part.clone() for part in layer) for layer in state]
            states.append([part for layer in state for part in layer])
        loss = model.head.nll(hidden, ids[:, first + length]).sum()  # streams do not see each other
        states[-1] = [hidden]
        # Of a memory that a cell does not use, or hands through, there is no gradient: nothing reaches it.
        used = [[part for part in parts if part.requires_grad] for parts in states]
        asked = [part for parts in used for part in parts]
        gradients = iter(torch.autograd.grad(loss, asked, materialize_grads=True))
        norms = [torch.cat([next(gradients) for _ in parts], dim=-1).norm(dim=-1) for parts in used]
        found.append(torch.stack(norms[::-1], dim=1))  # B, steps + 1
    return torch.cat(found).cpu()
