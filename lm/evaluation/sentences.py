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
from lm.evaluation.predictors import Neural, Predictor
from lm.evaluation.score import perplexity
from lm.models.interfaces import LanguageModel
from lm.system.errors import UserError

AT_ONCE = 2048
"""Sentences that are sorted by length together; results are given in the order of the text after each so many."""
POSITIONS = 8192
"""Tokens of a padded batch."""
NUMBERS = 1 << 22
"""Logits that are held at a time, 16 MB: the pages of larger blocks would be mapped anew for each part."""


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
    model: LanguageModel | Predictor,
    vocab: Vocab,
    texts: Iterable[str],
    temperature: float = 1.0,
    batch_size: int = 256,
    entropy: bool = True,
) -> Iterator[Sentence]:
    """Score each text by itself, from `<eos>` to its own end, and yield the results in the order of the texts.

    Equal to scoring one by one, up to rounding. `temperature` divides the logits of a language model. `batch_size`: the
    most sentences that are read at a time. Without `entropy` the entropies are nan, and less is computed. Raises
    UserError for a text with a line end.
    """
    if isinstance(texts, str):
        raise UserError(f"texts is a text, {texts[:40]!r}, not a list of them: put it in square brackets")
    if batch_size < 1 or not temperature > 0:
        raise UserError(f"batch_size must be at least 1, temperature above 0; got {batch_size} and {temperature}")
    predictor, texts = model if isinstance(model, Predictor) else Neural(model, temperature), iter(texts)
    while some := [encoded(vocab, text) for text in islice(texts, AT_ONCE)]:
        found: dict[int, Sentence] = {}
        for places in _batches([len(one.ids) for one in some], batch_size):
            rows = [some[place].ids for place in places]
            scores = zip(*score_rows(predictor, rows, entropy), strict=True)
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
    predictor: Predictor, rows: Sequence[np.ndarray], entropy: bool = True
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Nats, and entropies before each token, float64 [n - 1] for each row of ids [n], which is read by itself."""
    targets = torch.from_numpy(np.concatenate([row[1:] for row in rows]).astype(np.int64))
    distributions, size = predictor.predict(rows), max(1, NUMBERS // predictor.vocab_size)
    nats, before = [], []
    for first in range(0, len(targets), size):
        wanted = targets[first : first + size].unsqueeze(1)
        some = distributions(first, first + len(wanted))
        with torch.inference_mode():
            nats.append(-some.gather(1, wanted.to(some.device)).squeeze(1))
            before.append(entropies(some) if entropy else torch.full_like(nats[-1], torch.nan))
    cuts = list(accumulate(len(row) - 1 for row in rows))[:-1]
    scored, uncertain = (np.split(torch.cat(parts).double().cpu().numpy(), cuts) for parts in (nats, before))
    return scored, uncertain


def entropies(log_probabilities: Tensor) -> Tensor:
    """The entropy [n] in nats of distributions [n, V], in whose place impossible words get a very small probability."""
    finite = log_probabilities.clamp_(min=-200.0)  # 0 log 0 is 0
    found: Tensor = -torch.linalg.vecdot(finite.exp(), finite)
    return found


def _by_word(one: Encoded, unk: int, nats: np.ndarray, before: np.ndarray) -> Sentence:
    """Put the tokens' figures together. A word may have no token, if the tokeniser drops what it consists of."""
    places = np.cumsum([0, *one.tokens])
    nats, unknown = (np.cumsum([0, *values])[places] for values in (nats, one.ids[1:] == unk))
    known = np.diff(unknown) == 0
    return Sentence(one.words, one.tokens, known.tolist(), np.diff(nats).tolist(), before[places[:-1]].tolist())
