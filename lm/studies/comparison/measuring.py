"""Makes the measurements on every run, and notes the reason for each measurement that is not possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lm.data.vocabulary import Vocab
from lm.runs.trained import Trained, load
from lm.studies.comparison.checkpoint_measures import (
    Continuation,
    continuations,
    embeddings,
    initial_embedding,
    nats_of_test,
    sample_quality,
    word_vectors,
)
from lm.studies.comparison.quality import SampleQuality
from lm.studies.comparison.reading import Run
from lm.studies.comparison.related import Relatedness, Words, measure_related
from lm.studies.comparison.settings import Settings
from lm.studies.comparison.texts import Library, Text
from lm.studies.comparison.vectors import Embeddings
from lm.system.errors import UserError

TOLERANCE = 0.02
"""Largest difference in nats per token that a change of device or precision may cause in the same model."""
Found = TypeVar("Found")


@dataclass
class Known:
    """All that is known about a run: kept in memory until all runs are measured."""

    run: Run
    vocab: Vocab | None = None
    text: Text | None = None
    nats: NDArray[np.float64] | None = None  # of each token of the test text
    embedding: Tensor | None = None  # [V, E], trained
    initial: Tensor | None = None  # [V, E], before any training
    checkpoint: Path | None = None  # the file that is measured
    nats_file: Path | None = None
    samples: list[Continuation] | None = None
    quality: SampleQuality | None = None
    embeddings: Embeddings | None = None
    relatedness: Relatedness | None = None


@dataclass(frozen=True)
class Refused:
    """A result that is not available for some runs or groups, and the reason."""

    figure: str
    runs: list[str]
    reason: str


class Refusal:
    """Calls a measurement. If it raises UserError, notes the result's name, the runs and the reason; returns None."""

    def __init__(self, refused: list[Refused], *runs: str) -> None:
        self.refused, self.runs = refused, list(runs)

    def __call__(self, figure: str, measurement: Callable[[], Found]) -> Found | None:
        try:
            return measurement()
        except UserError as error:
            self.note(figure, str(error))
            return None

    def note(self, figure: str, reason: str) -> None:
        self.refused.append(Refused(figure, self.runs, reason))


def look(known: Iterable[Known], refused: list[Refused], settings: Settings) -> list[str]:
    """Load the vocabulary and text of each run; returns the prompts that all runs continue."""
    library, known = Library(), list(known)
    for one in known:
        with_reason = Refusal(refused, one.run.name)
        trained = with_reason(
            "all that needs its weights", partial(load, one.run.folder, settings.trust, settings.data_from)
        )
        if trained is not None:
            one.vocab = trained.vocab
            one.text = with_reason("all that needs its text", partial(library.text, trained))
    if settings.brief:
        return []
    if settings.prompts is not None:
        return list(settings.prompts)
    texts = [one.text for one in known if one.text]
    text = next((text for text in texts if text.vocab.tokeniser.unit == "word"), texts[0] if texts else None)
    if text is None:
        return []
    refusal = Refusal(refused, *(one.run.name for one in known))
    return refusal("prompts", lambda: text.prompts([one.vocab for one in known if one.vocab])) or []


def measure(
    one: Known, prompts: list[str], related: Sequence[Words], out: Path, refused: list[Refused], settings: Settings
) -> None:
    if one.vocab is None:
        return
    refusal, text = Refusal(refused, one.run.name), one.text
    trained = load(one.run.folder, settings.trust)
    trained.model.to(settings.device)
    one.checkpoint = trained.path
    if not settings.brief:
        _measure_words(one, trained, prompts, related, refusal, settings)
    if text is None:
        return
    tokens, kept = one.run.result["test"].get("tokens"), out / "nats" / (one.run.name.replace("/", "_") + ".npz")
    if not tokens:
        refusal.note("the difference on the test text", "the run has no test score")
        return
    one.nats = refusal("nats of the test text", lambda: nats_of_test(trained, text, int(tokens), kept))
    said = one.run.result["test"]["nats"] / tokens
    if one.nats is not None and abs(float(one.nats.mean()) - said) > TOLERANCE:
        reason = f"its best checkpoint needs {one.nats.mean():.4f} nats a token, but its result.json says {said:.4f}"
        refusal.note("the difference on the test text", reason)
        one.nats = None
    if one.nats is not None:
        one.nats_file = kept


def _measure_words(
    one: Known, trained: Trained, prompts: list[str], related: Sequence[Words], refusal: Refusal, settings: Settings
) -> None:
    """What the model writes, and its embedding: the brief page shows neither."""
    text = one.text
    one.embedding = word_vectors(trained)
    one.initial = refusal("the embedding at initialisation", lambda: initial_embedding(one.run.folder))
    if one.initial is None:
        refusal.note("the embedding at initialisation", "the run did not keep it (callbacks.initial_embedding)")
    one.samples = refusal("samples", lambda: continuations(trained, prompts, settings))
    one.quality = refusal("sample quality", lambda: sample_quality(trained, text, settings))
    if text is not None:
        one.embeddings = refusal("distances", lambda: embeddings(trained, one.initial, text, settings))
        one.relatedness = measure_related(related, trained.vocab, text.counts, one.embedding, one.initial)
