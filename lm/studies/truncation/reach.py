"""How far gradients reach: the norm of d loss(t) / d state(t - k) for all k from 0 on."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lm.models.interfaces import LanguageModel, detach, mapped, tensors_of
from lm.system.errors import UserError


class Reach(NamedTuple):
    """For each k, over several places and streams: the mean of the norms, and their 10th and 90th percentiles."""

    mean: list[float]
    low: list[float]
    high: list[float]

    def steps_to(self, share: float) -> int | None:
        """The first k such that all means from k on are at most `share` of the mean at k = 0; None if there is none."""
        above = [k for k, norm in enumerate(self.mean) if norm > share * self.mean[0]]
        return above[-1] + 1 if above[-1] + 1 < len(self.mean) else None

    def share_at(self, k: int) -> float:
        """The mean at k steps back as a share of the mean at k = 0. A k beyond the last step gives the last step."""
        return self.mean[min(k, len(self.mean) - 1)] / self.mean[0]

    def share_cut(self, window: int) -> float:
        """The share of the summed norms dropped by a detach before every `window` tokens, averaged over these tokens.

        The loss at a window's i-th token, counted from 1, reaches i states: k = 0 .. i - 1.
        """
        total = sum(self.mean)
        return float(np.mean([sum(self.mean[i:]) / total for i in range(1, window + 1)]))


def reach(model: LanguageModel, streams: np.ndarray, steps: int, places: int) -> Reach:
    """Measure how far gradients reach, on ids [B, N] cut into `places` pieces of `steps` + 1 tokens from the start."""
    norms = gradient_norms(model, streams, steps, places)
    low, high = torch.quantile(norms, torch.tensor([0.1, 0.9], dtype=norms.dtype), dim=0)
    return Reach(norms.mean(dim=0).tolist(), low.tolist(), high.tolist())


def gradient_norms(model: LanguageModel, streams: np.ndarray, steps: int, places: int) -> Tensor:
    """Norms [places * B, steps + 1] in float64 of the gradient of the loss at a piece's end by the state k steps back.

    At k = 0 the state is the hidden vector from which the loss is computed. The state is carried from piece to piece.
    The model is not changed; dropout is off. Raises UserError for a text that is too short.
    """
    length = steps + 1
    if streams.shape[1] <= places * length:
        raise UserError(
            f"following gradients over {steps} steps at {places} places needs {places * length + 1} tokens in each "
            f"of {len(streams)} streams, but each has only {streams.shape[1]}: lower reach or places"
        )
    # In float32 small norms would be rounding errors or zeros.
    model = copy.deepcopy(model).double().eval()
    ids = torch.from_numpy(streams.astype(np.int64)).to(model.embedding.weight.device)
    state, found = model.initial_state(len(ids)), []
    for place in range(places):
        first = place * length
        state, states = detach(state), []
        for t in range(first, first + length):
            hidden, state = model.step(ids[:, t], state)
            # Clones, because an LSTM computes h from c: a gradient by c itself would count the path over h twice.
            state = mapped(state, Tensor.clone)
            states.append(tensors_of(state))
        loss = model.head.nll(hidden, ids[:, first + length]).sum()  # streams are independent
        states[-1] = [hidden]
        # A memory that a cell does not use, or returns unchanged, has no gradient.
        used = [[part for part in parts if part.requires_grad] for parts in states]
        asked = [part for parts in used for part in parts]
        gradients = iter(torch.autograd.grad(loss, asked, materialize_grads=True))
        norms = [torch.cat([next(gradients).flatten(1) for _ in parts], dim=1).norm(dim=1) for parts in used]
        found.append(torch.stack(norms[::-1], dim=1))  # B, steps + 1
    return torch.cat(found).cpu()
