"""A softmax that is trained on a sample of the words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from lm.models.heads.softmax import Softmax, SoftmaxHead
from lm.models.interfaces import Head
from lm.models.kernels.cross_entropy import linear_cross_entropy
from lm.system.bounds import AtLeast, Count


class SampledHead(SoftmaxHead):
    """A softmax over the vocabulary that is estimated in training, as `Sampled` describes, and exact in evaluation.

    Before `prepare` has seen the counts, the words with the lowest ids count as frequent. The set of frequent words is
    not saved, so that the weights also fit a full softmax or another value of `frequent`.
    """

    always: Tensor

    def __init__(self, hidden_size: int, vocab_size: int, tied_to: Tensor | None, frequent: int, sampled: int) -> None:
        super().__init__(hidden_size, vocab_size, tied_to)
        self.frequent, self.sampled = frequent, sampled
        self.register_buffer("always", torch.arange(vocab_size) < frequent, persistent=False)  # V

    def prepare(self, counts: Tensor) -> None:
        self.always.zero_()
        self.always[counts.argsort(descending=True, stable=True)[: self.frequent]] = True

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        if not self.training:
            return super().nll(hidden, targets)
        words, shift, place = self._draw(targets)
        weight, bias = self.linear.weight.index_select(0, words), self.linear.bias.index_select(0, words)
        return linear_cross_entropy(hidden, weight, bias + shift.to(bias), place[targets])

    def _draw(self, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose the words [n] whose logits are computed: the frequent words, the targets, and a sample of the rest.

        Also returns what to add to each logit [n], and the index of each vocabulary word in the choice [V]. A sampled
        word represents `others / sampled` words, so that the softmax's sum is unbiased.
        """
        sure = self.always.clone()
        sure[targets.flatten()] = True
        others = (~sure).nonzero().squeeze(1)
        drawn = others[torch.randperm(len(others), device=others.device)[: self.sampled]]
        words = torch.cat([sure.nonzero().squeeze(1), drawn])
        shift = torch.zeros(len(words), device=words.device)
        if len(drawn) > 0:
            shift[-len(drawn) :] = math.log(len(others) / len(drawn))
        place = torch.zeros_like(sure, dtype=torch.long)
        place[words] = torch.arange(len(words), device=words.device)
        return words, shift, place


@dataclass(frozen=True)
class Sampled(Softmax):
    """A softmax that is trained on only some words: the frequent ones, a window's targets, and a sample of the rest.

    The rest's part of the softmax's sum is estimated without bias from the sample (after Jean et al. 2015). So the
    training loss is an estimate; validation, test and sampling are exact. Sampling applies only to windows with teacher
    forcing: if a model reads its own words, or is updated at each token, all words are computed.

    Args:
        frequent: number of most frequent words that are always computed.
        sampled: number of words drawn from the rest for each window.

    Raises:
        UserError: for settings out of bounds, and for tied weights if hidden and embedding size differ.
    """

    frequent: Annotated[int, AtLeast(0)] = 1000
    sampled: Count = 1000

    def head(self, hidden_size: int, embedding: nn.Embedding, tied: bool) -> Head:
        tied_to = self.matrix(hidden_size, embedding, tied)
        return SampledHead(hidden_size, embedding.num_embeddings, tied_to, self.frequent, self.sampled)
