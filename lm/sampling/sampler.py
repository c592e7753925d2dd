"""Draws the next word from a model's logits, for many sequences in parallel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from lm.data.vocabulary import Vocab
from lm.system.bounds import PROBABILITY, Above, AtLeast, Bounded, Count, Range
from lm.system.errors import UserError


@dataclass(frozen=True)
class Sampler(Bounded, group="sampler"):
    """Settings of how words are drawn. Names are as in Hugging Face's GenerationConfig; `bad_words` are words, not ids.

    With `num_beams` above 1 nothing is drawn: beam search looks for the most probable texts (`beam_search`). Such a
    text ends at `<eos>`, while a drawn text continues after it. Raises UserError for values out of range, and for beam
    search with a setting that it cannot follow: `do_sample`, `temperature`, `top_k`, `top_p`, `min_p`.

    Args:
        do_sample: false takes the most probable word each time (greedy).
        temperature: divides the logits; 0 is greedy.
        top_k: keeps the k most probable words (0: all).
        top_p: keeps the smallest set of words with this total probability (nucleus sampling, Holtzman et al. 2020).
        min_p: keeps words whose probability is at least `min_p` times the highest probability (Nguyen et al. 2024).
        repetition_penalty: above 1, words already in the text become less probable (Keskar et al. 2019).
        bad_words: words that are never drawn.
        max_new_tokens: number of words to draw.
        num_return_sequences: number of sequences, drawn in parallel; of beam search, the best ones, the best first.
        num_beams: above 1, the number of beginnings that beam search keeps.
        length_penalty: beam search divides a text's log-probability by the number of new words to this power: 0 takes
            the most probable text, often a short one; higher values favour longer texts. (Wu et al. 2016, simplified)
    """

    do_sample: bool = True
    temperature: Annotated[float, AtLeast(0)] = 1.0
    top_k: Annotated[int, AtLeast(0)] = 0
    top_p: Annotated[float, Range(above=0, most=1)] = 1.0
    min_p: Annotated[float, PROBABILITY] = 0.0
    repetition_penalty: Annotated[float, Above(0)] = 1.0
    bad_words: Sequence[str] = ()
    max_new_tokens: Count = 50
    num_return_sequences: Count = 1
    num_beams: Count = 1
    length_penalty: Annotated[float, Range(least=-10, most=10)] = 1.0  # beyond, powers of lengths overflow

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_beams == 1:
            return
        if self.do_sample:
            raise UserError(
                f"sampler.num_beams={self.num_beams}: beam search takes the most probable text and draws nothing; "
                "choose sampler=beam, which sets sampler.do_sample=false"
            )
        for name in ("temperature", "top_k", "top_p", "min_p"):
            if (value := getattr(self, name)) != (neutral := getattr(Sampler, name)):
                raise UserError(
                    f"sampler.{name}={value} is for drawing words, and beam search draws none: leave it at {neutral}, "
                    "or choose a sampler without sampler.num_beams"
                )
        if self.num_return_sequences > self.num_beams:
            raise UserError(
                f"sampler.num_return_sequences={self.num_return_sequences} must be at most sampler.num_beams="
                f"{self.num_beams}: beam search returns its best texts"
            )

    @property
    def greedy(self) -> bool:
        return not self.do_sample or self.temperature == 0

    def banned(self, vocab: Vocab) -> list[int]:
        """The ids of `bad_words`. Raises UserError for an out-of-vocabulary word, or if no word is left."""
        if unknown := [word for word in self.bad_words if word not in vocab]:
            raise UserError(f"sampler.bad_words: {unknown[0]!r} is not among the {len(vocab):,} words of this model")
        if len(set(self.bad_words)) == len(vocab):
            raise UserError("sampler.bad_words bans every word of the vocabulary; leave at least one")
        return [vocab.id(word) for word in self.bad_words]

    def draw(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one word id per row: logits [N, V] -> [N].

        Raises UserError for logits that are not finite, or that the temperature makes infinite.
        """
        if self.greedy:
            highest = logits.max(dim=-1)
            refuse_non_finite(highest.values)
            return highest.indices
        weights = self.distribution(logits)
        if not weights[:, 0].isfinite().all():  # one nan makes the whole softmax nan
            refuse_non_finite(logits.amax(dim=-1))
            size = "small" if self.temperature < 1 else "large"
            raise UserError(
                f"sampler.temperature={self.temperature} is too {size}: logits divided by it are not float32 numbers. "
                "Choose a value closer to 1; for the most probable word each time, choose sampler=greedy"
            )
        return draw(weights, generator)

    def penalised(self, logits: Tensor, seen: Tensor) -> Tensor:
        """Lower the logits [N, V] of words that are already in the text (`seen` [N, V]) by the repetition penalty.

        The penalty multiplies a word's log-probability, so it means the same for every head and does not depend on a
        constant added to all logits. (Keskar et al. 2019 divide or multiply the logit itself.) Raises UserError for
        logits that are not finite, or that the penalty makes infinite.
        """
        if self.repetition_penalty == 1:
            return logits
        log_probabilities = logits.log_softmax(dim=-1)
        penalised = torch.where(seen, log_probabilities * self.repetition_penalty, log_probabilities)
        if not penalised.amax(dim=-1).isfinite().all():
            refuse_non_finite(logits.amax(dim=-1))
            raise UserError(
                f"sampler.repetition_penalty={self.repetition_penalty} is too large: log-probabilities multiplied by "
                "it are not float32 numbers; choose a smaller value"
            )
        return penalised

    def distribution(self, logits: Tensor) -> Tensor:
        """Map logits [N, V] to sampling weights [N, V] in float32. Excluded words have weight 0."""
        logits = logits.float() / self.temperature
        if 0 < self.top_k < logits.shape[-1]:
            # By rank, not by value: exactly k words stay, also when logits are equal.
            kept = logits.topk(self.top_k, dim=-1)
            logits = torch.full_like(logits, -torch.inf).scatter(-1, kept.indices, kept.values)
        weights = logits.softmax(dim=-1)
        if self.top_p < 1:
            ordered, order = weights.sort(dim=-1, descending=True)
            before = ordered.cumsum(dim=-1) - ordered
            dropped = torch.zeros_like(weights, dtype=torch.bool).scatter(-1, order, before >= self.top_p)
            weights = weights.masked_fill(dropped, 0.0)
        if self.min_p > 0:
            weights = weights.masked_fill(weights < self.min_p * weights.amax(dim=-1, keepdim=True), 0.0)
        return weights


def draw(weights: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw one index per row of `weights` [N, V], which are not negative and have any sum. Returns [N].

    In a row with nan, the index is arbitrary.
    """
    # One uniform number per row, looked up in the cumulative weights. torch.multinomial draws an exponential number for
    # every word: a third of the time of 64 sequences over 10,000 words, and two waits for a GPU.
    wide = torch.float32 if weights.device.type == "mps" else torch.float64  # Apple's GPU has no float64
    cumulative = weights.cumsum(dim=-1, dtype=wide)
    place = torch.rand(len(weights), 1, dtype=wide, device=weights.device, generator=generator) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, place, right=True).squeeze(-1).clamp_max(weights.shape[-1] - 1)


def refuse_non_finite(highest: Tensor) -> None:
    """Raise UserError if the highest logit of one row is not finite: `highest` has that of each row [N]."""
    if not highest.isfinite().all():
        raise UserError(
            "the model's logits are not finite numbers: its weights are too large, as after training that diverged. "
            "Train again with a lower optim.lr"
        )
