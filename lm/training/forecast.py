"""How long a validation, the test and free running will take, measured on a few tokens of the validation text."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any, NamedTuple

from lm.config.schemas import FreeRunningTest
from lm.data.corpus import Corpus
from lm.data.streams import limited
from lm.evaluation import Evaluator, FreeRunning, Static
from lm.models.interfaces import LanguageModel
from lm.training.free_running_perplexity import windows_read

TOKENS = 64
"""Tokens that are read at a time: few, because a large model takes a while for them."""


class Forecast(NamedTuple):
    """Seconds."""

    validation: float  # one
    at_the_end: float  # the test, and free running


def forecast(model: LanguageModel, corpus: Corpus, trainer: Any, free: FreeRunningTest | None) -> Forecast:
    """The expected times under the trainer's limits. `free`: the settings of free running; None if it is not measured.

    Draws no random numbers, and leaves the model as it is.
    """
    valid, test = (
        limited(len(windows), limit) * windows.window
        for windows, limit in ((corpus.valid, trainer.limit_val_batches), (corpus.test, trainer.limit_test_batches))
    )
    each = _seconds_of_a_part(Static(window=TOKENS), model, corpus) / TOKENS
    at_the_end = test * each
    if free is not None:
        evaluator = FreeRunning(window=corpus.window, streams=free.streams, limit=2)
        windows = sum(count for count, _ in windows_read(corpus, free, trainer).values())
        at_the_end += windows * _seconds_of_a_part(evaluator, model, corpus)
    return Forecast(valid * each, at_the_end)


def _seconds_of_a_part(evaluator: Evaluator, model: LanguageModel, corpus: Corpus) -> float:
    """Seconds of the second part of the validation text: the first one is slow. Of a text of one part, of that."""
    begun, taken = time.perf_counter(), 0.0
    with evaluator.scoring(model, corpus.ids["valid"]) as parts:
        for part in islice(parts, 2):
            part.nats.cpu()  # a GPU has finished it then
            now = time.perf_counter()
            begun, taken = now, now - begun
    return taken
