"""What gives a distribution over the next token: a language model, an n-gram model, or a mixture of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from lm.evaluation.kneser_ney import KneserNey
from lm.evaluation.reading import device_of, unchanged
from lm.models.interfaces import LanguageModel
from lm.system.precision import exact

Distributions = Callable[[int, int], Tensor]
"""(first, end) -> log-probabilities [end - first, V], on the CPU or a card, of these tokens among those of all rows."""


class Predictor(ABC):
    """Gives the distribution over each token of rows of ids, of which each is read by itself."""

    vocab_size: int

    @abstractmethod
    def predict(self, rows: Sequence[np.ndarray]) -> Distributions:
        """Read rows of ids [n]. Of each, the first is given and the n - 1 others are predicted."""


class Neural(Predictor):
    """A language model with fixed weights; its logits are divided by `temperature`."""

    def __init__(self, model: LanguageModel, temperature: float = 1.0) -> None:
        self.model, self.temperature, self.vocab_size = model, temperature, model.vocab_size

    def predict(self, rows: Sequence[np.ndarray]) -> Distributions:
        model, device = self.model, device_of(self.model)
        lengths = np.array([len(row) - 1 for row in rows])
        tokens = np.zeros((len(rows), lengths.max()), np.int64)
        for padded, row in zip(tokens, rows, strict=True):
            padded[: len(row) - 1] = row[:-1]  # what is behind a row's end changes nothing before it
        kept = torch.from_numpy(np.arange(tokens.shape[1]) < lengths[:, None])
        with unchanged(model), exact(device.type), torch.inference_mode():
            hidden, _ = model.eval()(torch.from_numpy(tokens).to(device), model.initial_state(len(rows)))
            hidden = hidden[kept.to(device)]  # all tokens of all rows, H

        def distributions(first: int, end: int) -> Tensor:
            with exact(device.type), torch.inference_mode():
                logits = model.head.logits(hidden[first:end]).float() / self.temperature
                return logits.log_softmax(dim=-1)

        return distributions


class NGram(Predictor):
    """An n-gram model. A row is all that it knows of the text before."""

    def __init__(self, model: KneserNey) -> None:
        self.model, self.vocab_size = model, model.vocab_size

    def predict(self, rows: Sequence[np.ndarray]) -> Distributions:
        contexts = [row[max(0, end - self.model.order + 1) : end] for row in rows for end in range(1, len(row))]

        def distributions(first: int, end: int) -> Tensor:
            return torch.from_numpy(
                np.log(np.stack([self.model.probabilities(context) for context in contexts[first:end]]))
            ).float()

        return distributions


class Mixture(Predictor):
    """A mean of its members' probabilities, weighted by their `shares`."""

    def __init__(self, members: Sequence[Predictor], shares: Sequence[float] | np.ndarray) -> None:
        self.members, self.vocab_size = members, members[0].vocab_size
        self.log_shares = torch.tensor(np.asarray(shares)).log()

    def predict(self, rows: Sequence[np.ndarray]) -> Distributions:
        parts = [member.predict(rows) for member in self.members]

        def distributions(first: int, end: int) -> Tensor:
            each = [part(first, end) for part in parts]
            weighted = [one.to(each[0].device) + share for one, share in zip(each, self.log_shares, strict=True)]
            return torch.stack(weighted).logsumexp(dim=0)

        return distributions
