"""Evaluation without teacher forcing: the model reads its own words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from lm.data.streams import Windows, true_where
from lm.evaluation.evaluator import Evaluator, number
from lm.evaluation.reading import Scored, device_of
from lm.models.interfaces import LanguageModel
from lm.system.bounds import Count


@dataclass(frozen=True)
class FreeRunning(Evaluator):
    """Free running: the model reads its own most probable words, after the true first word of each window.

    It measures how much worse the model predicts without teacher forcing, as in the classic exercise. The state is
    carried from window to window. Words are scored window by window, and within a window stream by stream.

    Args:
        window: tokens between two true words that the model reads; the perplexity depends on this number.
        streams: number of streams read in parallel, for speed; a short text is read in fewer streams.
        limit: number of windows to read (null: all).
    """

    window: Count = 30
    streams: Count = 20
    limit: Count | None = None

    name: ClassVar[str] = "free_running"

    def windows(self, ids: np.ndarray) -> Windows:
        """Cut the ids [N] of a text into the windows that free running reads."""
        streams = max(1, min(self.streams, len(ids) // (self.window + 1)))
        return Windows(ids, streams, self.window, keep_last=True)

    def positions(self, length: int) -> np.ndarray:
        windows = islice(self.windows(np.arange(length)), self.limit)
        return np.concatenate([window.targets.flatten().numpy() for window in windows])

    def parts(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Scored]:
        device, state = device_of(model), None
        for window in islice(self.windows(ids), self.limit):
            read, targets, nats = window.inputs[:, 0].to(device), window.targets.to(device), []
            with torch.inference_mode():
                state = state or model.initial_state(len(targets))
                for t in range(targets.shape[1]):
                    read = true_where(window.reset[:, t], window.inputs[:, t].to(device), read)
                    hidden, state = model.step(read, model.renewed(state, window.reset[:, t]))
                    logits = model.head.logits(hidden).float() / number(self.temperature)
                    nats.append(F.cross_entropy(logits, targets[:, t], reduction="none"))
                    read = logits.argmax(dim=-1)
            yield Scored(window.targets.flatten(), torch.stack(nats, dim=1).flatten().cpu())
