"""Beam search: the most probable texts, found among the `num_beams` most probable beginnings of each length."""

from __future__ import annotations

import torch
from torch import Tensor

from lm.models.interfaces import LanguageModel, State, mapped
from lm.sampling.sampler import Sampler, refuse_non_finite


def beam_search(
    model: LanguageModel,
    sampler: Sampler,
    banned: list[int],
    eos: int,
    word: Tensor,
    state: State,
    written: Tensor,
) -> Tensor:
    """Find the best `sampler.num_return_sequences` hypotheses, the best first: ids [N, P + max_new_tokens].

    A hypothesis ends at `<eos>`, which is part of it, or after `max_new_tokens` words. A row is filled up with `<eos>`.
    A hypothesis' score is the sum of the log-probabilities of its new words, divided by the number of new words to the
    power of `length_penalty`. Log-probabilities are those of `Sampler.penalised`; without the banned words, they are
    not scaled to sum to one. N is smaller if there are fewer hypotheses, as with few words and `max_new_tokens=1`.

    The beams at each length are the `num_beams` most probable beginnings that have not ended, so a hypothesis is found
    only if all its beginnings are among them. A hypothesis that ends must itself be among the `num_beams` best
    candidates of its length. The search stops as soon as no beam can become better than the N found. All this is
    Hugging Face's beam search with `early_stopping="never"`, the exact one. (Graves 2012, Sutskever et al. 2014)

    Args:
        model: in evaluation mode.
        sampler: the settings.
        banned: ids that never appear among the new words.
        eos: the id of `<eos>`.
        word: the word that is read first [1], on the model's device.
        state: the state before that word, for one sequence.
        written: the prompt [1, P], on the CPU. It is the beginning of every row.

    Raises:
        UserError: for logits that are not finite.
    """
    most, width = sampler.max_new_tokens, sampler.num_beams
    # Sums are float64: rounding does not add up, and a huge repetition penalty does not make all of them infinite.
    totals = torch.zeros(1, dtype=torch.float64)  # B: the log-probability of each beam
    beams = torch.full((1, most), eos)  # B, M
    seen: Tensor | None = None
    if sampler.repetition_penalty != 1:
        seen = torch.zeros(1, model.vocab_size, dtype=torch.bool).scatter(1, written, True)
    scores, found = totals[:0], beams[:0]  # the best hypotheses so far: N and N, M
    for length in range(1, most + 1):
        hidden, state = model.step(word, state)
        log_probabilities = _log_probabilities(model.head.logits(hidden).float().cpu(), sampler, seen)
        log_probabilities[:, banned] = -torch.inf
        sums = totals.unsqueeze(1) + log_probabilities  # B, V
        # Each beam has one candidate that ends with `<eos>`, so of twice `width` at least `width` continue.
        best = sums.flatten().topk(min(2 * width, sums.numel()))
        refuse_non_finite(best.values[:1])  # as where the model gives no probability to any word that is allowed
        parents, words = best.indices // sums.shape[1], best.indices % sums.shape[1]
        possible, ends = best.values.isfinite(), (words == eos) | (length == most)

        new = (possible & ends)[:width].nonzero().squeeze(1)
        ended = beams[parents[new]]
        ended[:, length - 1] = words[new]
        scores = torch.cat([scores, best.values[new] / length**sampler.length_penalty])
        kept = scores.argsort(descending=True, stable=True)[: sampler.num_return_sequences]
        scores, found = scores[kept], torch.cat([found, ended])[kept]

        live = (possible & ~ends).nonzero().squeeze(1)[:width]
        if len(live) == 0:
            break
        parents, words, totals = parents[live], words[live], best.values[live]
        reachable = best_score(totals[0], length + 1, most, sampler.length_penalty)
        if len(scores) == sampler.num_return_sequences and scores[-1] >= reachable:
            break
        beams = beams[parents]
        beams[:, length - 1] = words
        if seen is not None:
            seen = seen[parents].scatter(1, words.unsqueeze(1), True)
        word, state = words.to(word.device), reordered(state, parents.to(word.device))
    return torch.cat([written.expand(len(found), -1), found], dim=1)


def reordered(state: State, rows: Tensor) -> State:
    """The state of the given rows [N] of a state, in their order; a row may be taken several times or not at all."""
    return mapped(state, lambda part: part.index_select(0, rows))


def _log_probabilities(logits: Tensor, sampler: Sampler, seen: Tensor | None) -> Tensor:
    """Map logits [B, V] to float64 log-probabilities [B, V], lowered by the repetition penalty for words in `seen`."""
    refuse_non_finite(logits.amax(dim=-1))
    log_probabilities = logits.log_softmax(dim=-1).double()
    return log_probabilities if seen is None else sampler.penalised(log_probabilities, seen)


def best_score(total: Tensor, least: int, most: int, length_penalty: float) -> Tensor:
    """No hypothesis that continues a beam, to a length of `least` to `most` words, has a higher score than this."""
    # The sum, not above 0, can only fall. A score rises or falls with the length, so one of the ends is the highest.
    return torch.maximum(total / least**length_penalty, total / most**length_penalty)
