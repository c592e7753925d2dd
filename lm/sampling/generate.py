"""Text generation from a model and a prompt, one word at a time, many sequences in parallel."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

import torch
from torch import Tensor

from lm.data.vocabulary import Vocab
from lm.models.interfaces import LanguageModel, State, mapped
from lm.sampling.beam_search import beam_search
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

    If `sampler.num_beams` is above 1, the continuations are not drawn: they are the best that `beam_search` finds, the
    best first. Each ends at its first `<eos>`; its row is filled up with `<eos>`. All begin after the same first word.
    """
    banned, device = sampler.banned(vocab), next(model.parameters()).device
    was_training = model.training
    try:
        with torch.inference_mode(), exact(device.type):
            if sampler.num_beams > 1:
                begun = _begun(model.eval(), vocab, prompt, 1, generator)
                ids = beam_search(model, sampler, banned, vocab.eos, *begun)
            else:
                begun = _begun(model.eval(), vocab, prompt, sampler.num_return_sequences, generator)
                ids = _drawn(model, sampler, banned, *begun, generator)
    finally:
        model.train(was_training)
    return ids.clone()  # outside inference mode, so that autograd accepts the tensor


def first_words(model: LanguageModel, count: int, generator: torch.Generator | None = None) -> Tensor:
    """The words [N] after which `generate` writes `count` texts without a prompt, for the generator as it was then."""
    return torch.randint(model.vocab_size, (count,), generator=generator)


def _begun(
    model: LanguageModel, vocab: Vocab, prompt: Iterable[int] | None, count: int, generator: torch.Generator | None
) -> tuple[Tensor, State, Tensor]:
    """The next word to read [N], the state before it and the prompt [N, P], for `count` sequences."""
    device = next(model.parameters()).device
    if prompt is None:
        word = first_words(model, count, generator).to(device)
        return word, model.initial_state(count), torch.zeros(count, 0, dtype=torch.long)
    words = [int(word) for word in prompt]
    start = torch.tensor([[vocab.eos, *words]], device=device)  # read once for all sequences
    state = model.initial_state(count)
    if words:
        _, one = model(start[:, :-1], model.initial_state(1))
        state = mapped(one, lambda part: part.expand(count, *part.shape[1:]).contiguous())
    return start[0, -1].expand(count), state, torch.tensor(words, dtype=torch.long).expand(count, -1)


def _drawn(
    model: LanguageModel,
    sampler: Sampler,
    banned: list[int],
    word: Tensor,
    state: State,
    written: Tensor,
    generator: torch.Generator | None,
) -> Tensor:
    device = word.device
    seen = torch.zeros(len(word), model.vocab_size, dtype=torch.bool).scatter(1, written, True)
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


def texts(
    model: LanguageModel, sampler: Sampler, vocab: Vocab, seed: int, prompt: Iterable[int] | None = None
) -> list[str]:
    """Generate text as `generate` does, from a random seed. Returns one string per sequence.

    Texts of beam search end before the `<eos>` at which they ended.
    """
    words = None if prompt is None else list(prompt)
    rows = generate(model, sampler, vocab, words, torch.Generator().manual_seed(seed)).tolist()
    if sampler.num_beams > 1:
        start = len(words or [])  # a prompt may have several lines
        rows = [row[:start] + list(takewhile(lambda word: word != vocab.eos, row[start:])) for row in rows]
    return [vocab.decode(row) for row in rows]
