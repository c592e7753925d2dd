"""Search for the softmax temperature that gives the lowest nats on a text."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from lm.evaluation.reading import read_stream
from lm.models.interfaces import LanguageModel
from lm.system.errors import UserError
from lm.system.terminal import bar, say

TEMPERATURES = [0.02 * k for k in range(40, 66)]
"""Softmax temperatures that `best_temperature` tries.

Against overfitting, Melis et al. (2020) multiply logits by 0.8 to 1 (temperatures 1.25 to 1).
"""


def best_temperature(model: LanguageModel, ids: np.ndarray) -> float:
    """The temperature in `TEMPERATURES` with the lowest nats over ids [N], found in one pass with fixed weights."""
    sums = torch.zeros(len(TEMPERATURES), dtype=torch.float64)
    with bar("temperature, on the validation text", len(ids) - 1) as progress:
        for words, _, hidden in read_stream(model, ids):
            with torch.inference_mode():
                logits, targets = model.head.logits(hidden).float(), words.to(hidden.device)  # n, V
                for k, temperature in enumerate(TEMPERATURES):
                    sums[k] += F.cross_entropy(logits / temperature, targets, reduction="sum").cpu().double()
            progress.update(len(words))
    if not sums.isfinite().all():
        raise UserError("evaluator.temperature=auto: the model's nats on the validation text are not finite numbers")
    best = int(sums.argmin())
    found = round(TEMPERATURES[best], 2)
    if best in (0, len(TEMPERATURES) - 1):
        say(f"evaluator.temperature=auto: {found} is the end of the range tried; a value beyond it may be better")
    return found
