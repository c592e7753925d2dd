"""The neural cache: a recent word becomes more probable if the hidden vector before it resembles the current one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from lm.evaluation.evaluator import AUTO, Evaluator, Reader, number
from lm.evaluation.reading import Reading, Scored, read_stream, unchanged
from lm.evaluation.static import Static
from lm.models.interfaces import LanguageModel
from lm.system.bounds import PROBABILITY, AtLeast, Count
from lm.system.errors import UserError
from lm.system.terminal import bar

THETAS = [0.0, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0]
WEIGHTS = [0.0, 0.01, 0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5]
"""The values that `theta=auto` (`THETAS`) and `weight=auto` (`WEIGHTS`) try."""


@dataclass(frozen=True)
class Cache(Evaluator):
    """The neural cache (Grave et al. 2017): p = (1 - weight) p_model + weight p_cache; `weight` is the paper's lambda.

    The cache holds the last `window` words. p_cache gives each of them a probability proportional to
    exp(theta h_t h_i), with h_i the hidden vector before the cached word and h_t the current one. At the first word of
    a text the cache is empty, and p = p_model.

    Args:
        weight: share of p_cache in p. `auto` finds the best value on the validation text, with fixed model weights.
        theta: how much similarity counts; 0 weighs all cached words equally. `auto` works as for `weight`.
        window: number of cached words.
        reader: evaluator that reads the text: static, or dynamic to combine both methods.
    """

    weight: Annotated[float, PROBABILITY] | Literal["auto"] = 0.1
    theta: Annotated[float, AtLeast(0)] | Literal["auto"] = 1.0
    window: Count = 500
    reader: Reader = field(default_factory=Static)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.reader, Reader):
            raise UserError("evaluator.reader must be an evaluator that reads the true words: static or dynamic")
        if self.reader.temperature not in (1, self.temperature):
            raise UserError("evaluator.reader.temperature: set evaluator.temperature, which holds for both")

    @property
    def name(self) -> str:
        return "cache" if isinstance(self.reader, Static) else f"{self.reader.name}_cache"

    @property
    def changes_weights(self) -> bool:  # type: ignore[override]
        return self.reader.changes_weights

    def parts(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Scored]:
        reader = replace(self.reader, temperature=self.temperature)
        for reading, (found,) in recalled(reader.read(model, ids), [number(self.theta)], self.window):
            yield Scored(reading.words, mixture(reading.nats, found, number(self.weight)).cpu())

    def resolved(self, model: LanguageModel) -> Self:
        """A copy with numbers instead of `auto`: first the temperature is found, then weight and theta together."""
        ready = super().resolved(model)
        ready = replace(ready, reader=replace(ready.reader, temperature=ready.temperature))
        if AUTO not in (ready.weight, ready.theta):
            return ready
        ids = self.split("valid", "evaluator.weight=auto or theta=auto", "or give numbers")
        thetas = THETAS if ready.theta == AUTO else [number(ready.theta)]
        weights = WEIGHTS if ready.weight == AUTO else [number(ready.weight)]
        sums = torch.zeros(len(thetas), len(weights), dtype=torch.float64)
        with unchanged(model), bar("cache, on the validation text", len(ids) - 1) as progress:
            readings = read_stream(model.eval(), ids, temperature=number(ready.temperature))
            for reading, found in recalled(readings, thetas, self.window):
                for i, log_probability in enumerate(found):
                    for j, weight in enumerate(weights):
                        sums[i, j] += mixture(reading.nats, log_probability, weight).cpu().double().sum()
                progress.update(len(reading.words))
        i, j = divmod(int(sums.argmin()), len(weights))
        return replace(ready, theta=thetas[i], weight=weights[j])


def mixture(nats: Tensor, log_cache: Tensor, weight: float) -> Tensor:
    """Nats [n] of words under model and cache together: -log((1 - weight) exp(-nats) + weight exp(log_cache)).

    `nats` [n] are the model's losses; `log_cache` [n] are the log-probabilities of the cache. With weight 0 the result
    equals `nats` bit for bit.
    """
    log_weight = math.log(weight) if weight > 0 else -math.inf
    log_rest = math.log1p(-weight) if weight < 1 else -math.inf
    return -torch.logaddexp(log_rest - nats, log_weight + log_cache)


class _Memory(NamedTuple):
    """The cache: hidden vectors [m, H] and the words [m] that followed them."""

    hidden: Tensor
    words: Tensor


def recalled(readings: Iterator[Reading], thetas: list[float], window: int) -> Iterator[tuple[Reading, list[Tensor]]]:
    """Yield each reading, and for each theta the log-probability [n] of its words under the cache of earlier words.

    While the cache is empty, the model's own log-probability is given instead.
    """
    memory: _Memory | None = None
    for reading in readings:
        with torch.inference_mode():
            hidden, words = reading.hidden.float(), reading.words.to(reading.hidden.device)
            before = len(memory.words) if memory else 0
            keys = torch.cat([memory.hidden, hidden]) if memory else hidden  # m + n, H
            values = torch.cat([memory.words, words]) if memory else words  # m + n
            found = _log_probabilities(hidden, words, keys, values, before, thetas, window)
            found = [torch.where(log_cache.isnan(), -reading.nats, log_cache) for log_cache in found]
            memory = _Memory(keys[-window:], values[-window:])
        yield reading, found


def _log_probabilities(
    hidden: Tensor, words: Tensor, keys: Tensor, values: Tensor, before: int, thetas: list[float], window: int
) -> list[Tensor]:
    """Log-probability [n] of each word under the cache, for each theta; nan where the cache is empty.

    The query of row t is key number `before` + t. The query is compared with the `window` keys before that key. The key
    itself is left out, because its value is the word to predict.
    """
    at = torch.arange(before, before + len(words), device=keys.device).unsqueeze(1)  # n, 1
    key = torch.arange(len(keys), device=keys.device)  # m + n
    out_of_reach = (key >= at) | (key < at - window)  # n, m + n
    similarity = hidden @ keys.T  # n, m + n
    another = out_of_reach | (values != words.unsqueeze(1))
    found = []
    for theta in thetas:
        scores = theta * similarity
        everything = scores.masked_fill(out_of_reach, -math.inf).logsumexp(dim=1)
        same_word = scores.masked_fill(another, -math.inf).logsumexp(dim=1)
        found.append(same_word - everything)
    return found
