"""Scores sentences, each by itself: from a sentence's beginning, every word and the end. Many are read at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

import numpy as np
import torch
from torch import Tensor

from lm.data.tokenisers import EOS
from lm.data.vocabulary import Vocab
from lm.evaluation.reading import device_of, unchanged
from lm.evaluation.score import perplexity
from lm.models.interfaces import LanguageModel
from lm.system.errors import UserError
from lm.system.precision import exact

AT_ONCE = 2048
"""Sentences that are sorted by length together; results are given in the order of the text after each so many."""
POSITIONS = 8192
"""Tokens of a padded batch."""
NUMBERS = 1 << 25
"""Logits that are held at a time: these take 128 MB."""


@dataclass(frozen=True)
class Encoded:
    """A sentence as its words, the last of which is `<eos>`, how many tokens each has, and all ids after an `<eos>`."""

    words: list[str]
    tokens: list[int]
    ids: np.ndarray


@dataclass(frozen=True)
class Sentence:
    """A scored sentence: a value for each word between white space, and for its end, `<eos>`, which is last.

    `tokens`: how many tokens the word has for the model; `known`: whether the model knows them all; `nats`: -log p of
    the word, the sum over its tokens; `entropy`: of the distribution before its first token, in nats.
    """

    words: list[str]
    tokens: list[int]
    known: list[bool]
    nats: list[float]
    entropy: list[float]

    @property
    def bits(self) -> list[float]:
        """-log2 p of each word, its surprisal."""
        return [nats / math.log(2) for nats in self.nats]

    @property
    def perplexity(self) -> float:
        """exp(nats / words), the end and unknown words included."""
        return perplexity(sum(self.nats) / len(self.nats))


def encoded(vocab: Vocab, text: str) -> Encoded:
    """A sentence in a model's tokens. Raises UserError for a text with a line end."""
    if "\n" in text:
        raise UserError(f"a sentence has no line end in it; got {text[:60]!r}; give each line by itself")
    by_word = vocab.tokeniser.by_word(text)
    ids = [vocab.eos, *(vocab.id(token) for tokens in by_word for token in tokens), vocab.eos]
    return Encoded([*text.split(), EOS], [*map(len, by_word), 1], np.array(ids))


def score_sentences(
    model: LanguageModel,
    vocab: Vocab,
    texts: Iterable[str],
    temperature: float = 1.0,
    batch_size: int = 256,
    entropy: bool = True,
) -> Iterator[Sentence]:
    """Score each text by itself, from `<eos>` to its own end, and yield the results in the order of the texts.

    Equal to scoring one by one, up to rounding. `batch_size`: the most sentences that are read at a time. Without
    `entropy` the entropies are nan, and less is computed. Raises UserError for a text with a line end.
    """
    texts = iter(texts)
    while some := [encoded(vocab, text) for text in islice(texts, AT_ONCE)]:
        found: dict[int, Sentence] = {}
        for places in _batches([len(one.ids) for one in some], batch_size):
            rows = [some[place].ids for place in places]
            scores = zip(*score_rows(model, rows, temperature, entropy), strict=True)
            for place, (nats, before) in zip(places, scores, strict=True):
                found[place] = _by_word(some[place], vocab.unk, nats, before)
        yield from (found[place] for place in range(len(some)))


def _batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """The places of sentences of similar length, as many as may be read at a time."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    batch: list[int] = []
    for place in order:
        if batch and (len(batch) == batch_size or (len(batch) + 1) * lengths[place] > POSITIONS):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def score_rows(
    model: LanguageModel, rows: Sequence[np.ndarray], temperature: float = 1.0, entropy: bool = True
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Nats, and entropies before each token, float64 [n - 1] for each row of ids [n], which is read by itself."""
    device, lengths = device_of(model), [len(row) - 1 for row in rows]
    tokens = np.zeros((len(rows), max(lengths)), np.int64)
    for padded, row in zip(tokens, rows, strict=True):
        padded[: len(row) - 1] = row[:-1]  # what is behind a row's end changes nothing before it
    kept = torch.from_numpy(np.arange(tokens.shape[1]) < np.array(lengths)[:, None])
    targets = torch.from_numpy(np.concatenate([row[1:] for row in rows]).astype(np.int64)).to(device)
    nats, before = [], []
    with unchanged(model), exact(device.type), torch.inference_mode():
        hidden, _ = model.eval()(torch.from_numpy(tokens).to(device), model.initial_state(len(rows)))
        hidden = hidden[kept.to(device)]  # all tokens of all rows, H
        for part, wanted in zip(
            *(x.split(max(1, NUMBERS // model.vocab_size)) for x in (hidden, targets)), strict=True
        ):
            some = distribution(model.head.logits(part), temperature)
            nats.append(-some.gather(1, wanted.unsqueeze(1)).squeeze(1))
            before.append(entropies(some) if entropy else torch.full_like(nats[-1], torch.nan))
    cuts = list(accumulate(lengths))[:-1]
    scored, uncertain = (np.split(torch.cat(parts).double().cpu().numpy(), cuts) for parts in (nats, before))
    return scored, uncertain


def distribution(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probabilities [n, V], float32, from logits [n, V]."""
    return (logits.float() / temperature).log_softmax(dim=-1)


def entropies(log_probabilities: Tensor) -> Tensor:
    """The entropy [n] in nats of distributions [n, V]."""
    finite = log_probabilities.clamp(min=-200.0)  # 0 log 0 is 0
    found: Tensor = -torch.linalg.vecdot(finite.exp(), finite)
    return found


def _by_word(one: Encoded, unk: int, nats: np.ndarray, before: np.ndarray) -> Sentence:
    """Put the tokens' figures together. A word may have no token, if the tokeniser drops what it consists of."""
    places = np.cumsum([0, *one.tokens])
    nats, unknown = (np.cumsum([0, *values])[places] for values in (nats, one.ids[1:] == unk))
    known = np.diff(unknown) == 0
    return Sentence(one.words, one.tokens, known.tolist(), np.diff(nats).tolist(), before[places[:-1]].tolist())
