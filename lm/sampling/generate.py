"""Text generation from a model and a prompt, one word at a time, many sequences in parallel."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from lm.data.vocabulary import Vocab
from lm.models.interfaces import LanguageModel
from lm.sampling.sampler import Sampler
from lm.system.precision import exact


def generate(
    model: LanguageModel,
    sampler: Sampler,
    vocab: Vocab,
    prompt: Iterable[int] | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw `sampler.num_return_sequences` continuations in parallel: ids [N, len(prompt) + max_new_tokens].

    A prompt (ids from `vocab.encode`) is read after a sentence's end (`<eos>`) and is part of the result. Without a
    prompt, the first word read is drawn uniformly and is not part of the result, as in the classic exercise.
    `generator` must be on the CPU, so that a seed gives the same words on every device, up to rounding.
    """
    banned, device = sampler.banned(vocab), next(model.parameters()).device
    was_training = model.training
    try:
        with torch.inference_mode(), exact(device.type):
            ids = _generate(model.eval(), sampler, vocab, banned, prompt, generator)
    finally:
        model.train(was_training)
    return ids.clone()  # outside inference mode, so that autograd accepts the tensor


def _generate(
    model: LanguageModel,
    sampler: Sampler,
    vocab: Vocab,
    banned: list[int],
    prompt: Iterable[int] | None,
    generator: torch.Generator | None,
) -> Tensor:
    count, device = sampler.num_return_sequences, next(model.parameters()).device
    state = model.initial_state(count)
    if prompt is None:
        word = torch.randint(model.vocab_size, (count,), generator=generator).to(device)
        written = torch.zeros(count, 0, dtype=torch.long)
    else:
        words = [int(word) for word in prompt]
        start = torch.tensor([[vocab.eos, *words]], device=device)  # read once for all sequences
        if words:
            _, one = model(start[:, :-1], model.initial_state(1))
            state = [tuple(part.expand(count, -1).contiguous() for part in layer) for layer in one]
        word = start[0, -1].expand(count)
        written = torch.tensor(words, dtype=torch.long).expand(count, -1)
    seen = torch.zeros(count, len(vocab), dtype=torch.bool).scatter(1, written, True)
    new = []
    for _ in range(sampler.max_new_tokens):
        hidden, state = model.step(word, state)
        logits = sampler.penalised(model.head.logits(hidden).float().cpu(), seen)
        logits[:, banned] = -torch.inf
        drawn = sampler.draw(logits, generator)
        if sampler.repetition_penalty != 1:
            seen.scatter_(1, drawn.unsqueeze(1), True)
        new.append(drawn)
        word = drawn.to(device)
    return torch.cat([written, torch.stack(new, dim=1)], dim=1)


def texts(model: LanguageModel, sampler: Sampler, vocab: Vocab, seed: int) -> list[str]:
    """Generate text without a prompt, from a random seed. Returns one string per sequence."""
    ids = generate(model, sampler, vocab, generator=torch.Generator().manual_seed(seed))
    return [vocab.decode(row) for row in ids.tolist()]
