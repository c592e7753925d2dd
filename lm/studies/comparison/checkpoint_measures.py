"""Measurements on a run's best checkpoint: nats per token of the test text, samples, embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm.data.vocabulary import Vocab
from lm.evaluation import Static, evaluate
from lm.evaluation.predictors import Neural
from lm.evaluation.reading import device_of
from lm.evaluation.sentences import score_rows
from lm.runs.run_folder import INITIAL
from lm.runs.trained import Trained
from lm.sampling.generate import first_words, generate
from lm.sampling.sampler import Sampler
from lm.studies.comparison import vectors
from lm.studies.comparison.quality import AtTemperature, Quality, SampleQuality, pieces, quality
from lm.studies.comparison.settings import Settings
from lm.studies.comparison.texts import Text
from lm.system.errors import UserError
from lm.system.file_hash import content_hash
from lm.system.files import whole

WORDS = ("army", "taxpayer")


@dataclass(frozen=True)
class Continuation:
    """A prompt and its continuation by each sampler; None if the vocabulary lacks a word of the prompt."""

    prompt: str
    greedy: str | None
    random: str | None
    lacking: list[str]


def nats_of_test(trained: Trained, text: Text, tokens: int, kept: Path) -> NDArray[np.float64]:
    """The losses in nats [tokens] of the first `tokens` predictions on the test text.

    The file `kept` caches the losses for the next report; it is valid for the same checkpoint and type of device.
    """
    sign = f"{content_hash(trained.path)} {text.key} {tokens} {device_of(trained.model).type}"
    try:
        with np.load(kept) as found:
            if str(found["sign"]) == sign:
                earlier: NDArray[np.float64] = found["nats"]
                return earlier
    except (OSError, ValueError, KeyError):
        pass
    _, scored = evaluate(Static(), trained.model, text.ids["test"][: tokens + 1], trained.vocab.unk)
    nats: NDArray[np.float64] = scored.nats.double().numpy()
    kept.parent.mkdir(parents=True, exist_ok=True)
    with whole(kept, "free some space") as aside, aside.open("wb") as file:
        np.savez_compressed(file, sign=sign, nats=nats)
    return nats


def initial_embedding(folder: Path) -> Tensor | None:
    """The run's embedding before training; None if the run did not save it. Raises UserError for a damaged file."""
    file = folder / INITIAL
    try:
        found: Tensor = torch.load(file, map_location="cpu", weights_only=True)["embedding"].float()
        return found
    except FileNotFoundError:
        return None
    except Exception:  # torch's reader raises many types for a damaged file
        raise UserError(f"{file} cannot be read: damaged, or cut short") from None


def continuations(trained: Trained, prompts: Iterable[str], settings: Settings) -> list[Continuation]:
    """Continue each prompt by each sampler. Each prompt has its own random seed, the same for every run."""
    vocab, rows = trained.vocab, []
    for number, prompt in enumerate(prompts):
        words = vocab.split(prompt)
        if lacking := [word for word in words if word not in vocab]:
            rows.append(Continuation(prompt, None, None, lacking))
            continue
        texts = []
        for sampler in _samplers(max_new_tokens=min(50, settings.sample_words)):
            generator = torch.Generator().manual_seed(settings.seed + number)
            ids = generate(trained.model, sampler, vocab, [vocab.id(word) for word in words], generator)
            texts.append(vocab.decode(ids[0].tolist()))
        greedy, random = texts
        rows.append(Continuation(prompt, greedy, random, lacking))
    return rows


def sample_quality(trained: Trained, text: Text | None, settings: Settings) -> SampleQuality:
    """Quality of `sequences` texts of `sample_words` words, greedy and at each temperature, beside real text.

    The first word that a text is written after is drawn uniformly; that of a piece of real text is the word before it.
    """
    model, vocab, judge = trained.model, trained.vocab, text.judge if text else None

    def drawn(sampler: Sampler) -> Quality:
        first, again = (torch.Generator().manual_seed(settings.seed) for _ in range(2))
        ids = generate(model, sampler, vocab, generator=again)
        rows = torch.cat([first_words(model, len(ids), first).unsqueeze(1).cpu(), ids], dim=1).numpy()
        return quality(rows[:, 1:], vocab.unk, judge, surprisal(trained, rows))

    samplers = _samplers(settings.sample_words, settings.sequences)
    greedy, random = map(drawn, samplers)
    others = dict.fromkeys(t for t in settings.temperatures if t != 1)
    tempered = [AtTemperature(t, drawn(replace(samplers[1], temperature=t))) for t in others]
    real = None
    if text and len(rows := pieces(text.ids["test"], settings.sequences, settings.sample_words + 1)):
        real = quality(rows[:, 1:], vocab.unk, judge, surprisal(trained, rows))
    return SampleQuality(greedy, random, tempered, real)


def surprisal(trained: Trained, rows: NDArray[np.integer]) -> list[float]:
    """Nats per word of each text under the model, at temperature 1: of rows of ids [N, T + 1] the first is given."""
    nats, _ = score_rows(Neural(trained.model), list(rows), entropy=False)
    return [float(row.mean()) for row in nats]


def _samplers(max_new_tokens: int, num_return_sequences: int = 1) -> tuple[Sampler, Sampler]:
    """Make the greedy sampler and the random sampler."""
    greedy, random = (
        Sampler(do_sample=drawn, max_new_tokens=max_new_tokens, num_return_sequences=num_return_sequences)
        for drawn in (False, True)
    )
    return greedy, random


def word_pairs(vocab: Vocab, text: Text, words: Sequence[str] | None) -> dict[tuple[str, str], tuple[int, int]]:
    """The pairs to measure, with ids: all pairs of `words`; by default army and taxpayer, or two frequent long words.

    Raises UserError for a given word that the vocabulary lacks.
    """
    if words is None and all(word in vocab for word in WORDS):
        words = WORDS
    if words is None:
        ranked = [vocab.words[i] for i in text.frequent(len(vocab)).tolist()]
        long = [word for word in ranked if word.isalpha() and len(word) > 4]
        words = tuple((long if len(long) > 1 else ranked)[:2])
    if lacking := [word for word in words if word not in vocab]:
        raise UserError(f"{lacking[0]!r} is not among its {len(vocab):,} words")
    return {(a, b): (vocab.id(a), vocab.id(b)) for a, b in combinations(dict.fromkeys(words), 2)}


def embeddings(trained: Trained, initial: Tensor | None, text: Text, settings: Settings) -> vectors.Embeddings:
    """Measure the run's embedding. Raises UserError for words that the vocabulary lacks."""
    pairs = word_pairs(trained.vocab, text, settings.words)
    return vectors.measure(word_vectors(trained), initial, pairs, text.frequent(settings.frequent), text.counts)


def word_vectors(trained: Trained) -> Tensor:
    return trained.model.embedding.weight.detach().float().cpu()
