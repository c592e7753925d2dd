"""The standard evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from lm.data.streams import EVAL_WINDOW, one_stream
from lm.errors import UserError
from lm.evaluation.base import Reader, Reading, device_of, number, token_nats
from lm.models.base import LanguageModel


@dataclass(frozen=True)
class Static(Reader):
    """Fixed weights, one unbroken stream from a zero state, the first token given.

    `window` tokens are read at a time; no figure depends on it.
    """

    window: int = EVAL_WINDOW

    name: ClassVar[str] = "static"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 1:
            raise UserError(f"evaluator.window must be at least 1; got {self.window}")

    def read(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Reading]:
        device, state = device_of(model), None
        for window in one_stream(ids, self.window):
            with torch.inference_mode():  # not around the yield: the mode would leak into the caller
                state = state or model.initial_state(1)
                hidden, state = model(window.inputs.to(device), state)
                nats = token_nats(model.head, hidden, window.targets.to(device), number(self.temperature))
            yield Reading(window.targets[0], nats[0], hidden[0])
