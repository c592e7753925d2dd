"""The training step of LanguageModule in a bare loop, for measurements without Lightning."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from lm.data.streams import Window
from lm.models.interfaces import LanguageModel, State, detach
from lm.system.ranks import ALONE, Ranks
from lm.training.optim.gradient_clipping import clip_gradients
from lm.training.optim.optimisers import Adam


class BareStep:
    """Makes one update from the mean loss of several windows; the state is detached before the first window.

    `bf16` selects mixed precision; `ranks` are the processes that share the batch.
    """

    def __init__(self, model: LanguageModel, device: str = "cpu", bf16: bool = False, ranks: Ranks = ALONE) -> None:
        self.model, self.device, self.bf16, self.optim = model, device, bf16, Adam(lr=0.002)
        self.ranks = ranks
        self.optimizer = self.optim.optimizer(model.parameters())

    def update(self, windows: Iterable[Window], state: State) -> State:
        """Train on `windows` of shape [B, T] each, starting from `state`; returns the state after the last window."""
        state, losses = detach(state), []
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            for window in windows:
                hidden, state = self.model(window.inputs.to(self.device), state)
                losses.append(self.model.head.nll(hidden, window.targets.to(self.device)).mean())
        self.optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        self.ranks.average_gradients(self.model.parameters())
        clip_gradients(self.model.parameters(), self.optim.clip)
        self.optimizer.step()
        return state
