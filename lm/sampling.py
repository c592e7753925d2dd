"""From a model to text: how the next word is drawn, one word at a time, many sequences at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lm.errors import UserError
from lm.models.base import LanguageModel


@dataclass(frozen=True)
class Sampler:
    """How words are drawn; the fields' names are those of Hugging Face's GenerationConfig.

    `do_sample=false` takes the most probable word each time (greedy). `temperature` divides the logits; 0 is greedy.
    `top_k` keeps the k most probable words (0: all). `top_p` keeps the smallest set of words that holds that much
    probability (nucleus sampling, Holtzman et al. 2020). Raises UserError for values outside their range.
    """

    do_sample: bool = True
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 50
    num_return_sequences: int = 1

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise UserError(f"sampler.temperature must not be negative; got {self.temperature}")
        if self.top_k < 0:
            raise UserError(f"sampler.top_k must be 0 (all words) or more; got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"sampler.top_p must be above 0 and at most 1; got {self.top_p}")
        for name in ("max_new_tokens", "num_return_sequences"):
            if getattr(self, name) < 1:
                raise UserError(f"sampler.{name} must be at least 1; got {getattr(self, name)}")

    @property
    def greedy(self) -> bool:
        return not self.do_sample or self.temperature == 0

    def draw(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Logits [N, V] -> one word id a row, [N]."""
        if self.greedy:
            return logits.argmax(dim=-1)
        probabilities = self.distribution(logits)
        return torch.multinomial(probabilities, 1, generator=generator).squeeze(-1)

    def distribution(self, logits: Tensor) -> Tensor:
        """Logits [N, V] -> the probabilities [N, V] that words are drawn with, in float32."""
        logits = logits.float() / self.temperature
        if 0 < self.top_k < logits.shape[-1]:
            # By rank, not by value: of words with equal logits exactly k in all stay.
            kept = logits.topk(self.top_k, dim=-1)
            logits = torch.full_like(logits, -torch.inf).scatter(-1, kept.indices, kept.values)
        probabilities = logits.softmax(dim=-1)
        if self.top_p < 1:
            ordered, order = probabilities.sort(dim=-1, descending=True)
            before = ordered.cumsum(dim=-1) - ordered
            dropped = torch.zeros_like(probabilities, dtype=torch.bool).scatter(-1, order, before >= self.top_p)
            probabilities = probabilities.masked_fill(dropped, 0.0)  # multinomial takes weights: no need to add up to 1
        return probabilities


@torch.inference_mode()
def generate(
    model: LanguageModel,
    sampler: Sampler,
    eos: int,
    prompt: list[int] | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw `sampler.num_return_sequences` continuations, side by side: ids [N, len(prompt) + max_new_tokens].

    A prompt is read from a sentence's start (`<eos>`) and stands in the result. Without one the first word read is
    drawn uniformly and does not stand in the result, as in the classic exercise. `generator` is on the CPU, so that
    a seed gives the same words on every device, up to rounding.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    count = sampler.num_return_sequences
    try:
        state = model.initial_state(count)
        if prompt is None:
            word = torch.randint(model.vocab_size, (count,), generator=generator).to(device)
            written = torch.zeros(count, 0, dtype=torch.long)
        else:
            start = torch.tensor([eos, *prompt], device=device).expand(count, -1)
            if start.shape[1] > 1:
                _, state = model(start[:, :-1], state)
            word = start[:, -1]
            written = torch.tensor(prompt, dtype=torch.long).expand(count, -1)
        new = []
        for _ in range(sampler.max_new_tokens):
            hidden, state = model.step(word, state)
            drawn = sampler.draw(model.head.logits(hidden).float().cpu(), generator)
            new.append(drawn)
            word = drawn.to(device)
    finally:
        model.train(was_training)
    return torch.cat([written, torch.stack(new, dim=1)], dim=1)
