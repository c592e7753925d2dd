"""The softmax temperature that suits a text best."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from lm.evaluation.static import Static
from lm.models.base import LanguageModel
from lm.progress import bar

TEMPERATURES = [0.02 * k for k in range(40, 61)]
"""What is tried, .80 to 1.20: recipes with much dropout want less than 1 (Melis et al. 2020), overfitted ones more."""


def best_temperature(model: LanguageModel, ids: np.ndarray) -> float:
    """The temperature in `TEMPERATURES` with the least nats over ids [N], found in one reading with fixed weights."""
    sums = torch.zeros(len(TEMPERATURES), dtype=torch.float64)
    with bar("temperature, on the validation text", len(ids) - 1) as progress:
        for words, _, hidden in Static().read(model, ids):
            with torch.inference_mode():
                logits, targets = model.head.logits(hidden).float(), words.to(hidden.device)  # n, V
                for k, temperature in enumerate(TEMPERATURES):
                    sums[k] += F.cross_entropy(logits / temperature, targets, reduction="sum").cpu().double()
            progress.update(len(words))
    return round(TEMPERATURES[int(sums.argmin())], 2)
