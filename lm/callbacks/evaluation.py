"""What is measured beside teacher-forced perplexity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytorch_lightning as pl

from lm.data.streams import limited
from lm.errors import UserError
from lm.evaluation import FreeRunning, Score
from lm.interrupt import StopRequest
from lm.progress import say


class FreeRunningTest(pl.Callback):
    """With the test of the best checkpoint: both splits scored with the model fed its own most probable words."""

    def __init__(self, stop: StopRequest, streams: int = 20) -> None:
        if streams < 1:
            raise UserError(f"callbacks.free_running.streams must be at least 1; got {streams}")
        self.stop, self.streams = stop, streams
        self.scores: dict[str, Score] = {}

    def on_test_end(self, trainer: Any, module: Any) -> None:
        data = trainer.datamodule
        limits = {"valid": trainer.limit_val_batches, "test": trainer.limit_test_batches}
        for split, limit in limits.items():
            evaluator = FreeRunning(data.window, self.streams)
            count = limited(len(evaluator.windows(data.ids[split])), limit)
            if count == 0:
                continue
            say(f"free-running perplexity of the {split} text ({count:,} windows) ...")
            score = self.scores[split] = Score()
            with replace(evaluator, limit=count).scoring(module.model, data.ids[split]) as parts:
                for part in parts:
                    self.stop.obey()
                    score += part.nats
            for logger in trainer.loggers:
                logger.log_metrics({f"{split}/free_running_perplexity": score.perplexity}, step=module.windows)
