"""Perplexity without teacher forcing, measured after the test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytorch_lightning as pl

from lm.config.schemas import FreeRunningTest
from lm.data.corpus import Corpus
from lm.data.streams import limited
from lm.evaluation import FreeRunning, Score
from lm.system.signals import StopRequest
from lm.system.terminal import bar, say
from lm.training.curves import ONCE
from lm.training.module import LanguageModule


def windows_read(corpus: Corpus, settings: FreeRunningTest, trainer: Any) -> dict[str, tuple[int, int]]:
    """How many windows of each split are read, and how many it has."""
    found = {}
    for split, limit in {"valid": trainer.limit_val_batches, "test": trainer.limit_test_batches}.items():
        windows = len(FreeRunning(window=corpus.window, streams=settings.streams).windows(corpus.ids[split]))
        found[split] = min(limited(windows, limit), settings.limit or windows), windows
    return found


def free_running(
    module: LanguageModule,
    corpus: Corpus,
    settings: FreeRunningTest,
    trainer: pl.Trainer,
    stop: StopRequest,
) -> dict[str, dict[str, Any]]:
    """Score splits without teacher forcing: the score of each split, and how many of its windows were read.

    The trainer's limits on windows hold, and `settings.limit` too; its loggers get the perplexities. Raises Interrupted
    on a stop request.
    """
    found = {}
    for split, (count, windows) in windows_read(corpus, settings, trainer).items():
        ids, evaluator = corpus.ids[split], FreeRunning(window=corpus.window, streams=settings.streams)
        if count == 0:
            continue
        part = "" if count == windows else f" of {windows:,}"
        say(f"free-running perplexity of the {split} text ({count:,}{part} windows) ...")
        score = Score(corpus.vocab.unk)
        with (
            replace(evaluator, limit=count).scoring(module.model, ids) as parts,
            bar("free running", count, "window") as progress,
        ):
            for scored in parts:
                stop.obey()
                score.add(scored.words, scored.nats)
                progress.update()
        found[split] = {**score.as_dict(), "windows": count, "windows_in_all": windows}
        for logger in trainer.loggers:
            logger.log_metrics({f"{ONCE}/{split}_free_running_perplexity": score.perplexity}, step=module.windows)
    return found
