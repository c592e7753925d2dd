"""Perplexity without teacher forcing, measured after the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lm.config.schemas import FreeRunningTest
from lm.data.corpus import Corpus
from lm.data.streams import limited
from lm.evaluation import FreeRunning, Score
from lm.models.interfaces import LanguageModel
from lm.system.signals import StopRequest
from lm.system.terminal import bar, say


def free_running(
    model: LanguageModel,
    corpus: Corpus,
    settings: FreeRunningTest,
    limits: Mapping[str, int | float | None],
    stop: StopRequest,
) -> dict[str, dict[str, Any]]:
    """Score splits without teacher forcing: the score of each split, and how many of its windows were read.

    `limits` holds, for each split to score, Lightning's limit on its windows; `settings.limit` limits them too.
    Raises Interrupted on a stop request.
    """
    found = {}
    for split, limit in limits.items():
        ids, evaluator = corpus.ids[split], FreeRunning(window=corpus.window, streams=settings.streams)
        windows = len(evaluator.windows(ids))
        count = min(limited(windows, limit), settings.limit or windows)
        if count == 0:
            continue
        part = "" if count == windows else f" of {windows:,}"
        say(f"free-running perplexity of the {split} text ({count:,}{part} windows) ...")
        score = Score(corpus.vocab.unk)
        with (
            replace(evaluator, limit=count).scoring(model, ids) as parts,
            bar("free running", count, "window") as progress,
        ):
            for scored in parts:
                stop.obey()
                score.add(scored.words, scored.nats)
                progress.update()
        found[split] = {**score.as_dict(), "windows": count, "windows_in_all": windows}
    return found
