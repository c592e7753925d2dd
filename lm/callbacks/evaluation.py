"""What is measured beside teacher-forced perplexity."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from lm.callbacks.progress import say
from lm.data.streams import limited
from lm.evaluation import FreeRunning, Score, evaluate


class FreeRunningTest(pl.Callback):
    """With the test of the best checkpoint: both splits scored with the model fed its own most probable words."""

    def __init__(self, streams: int = 20) -> None:
        self.streams = streams
        self.scores: dict[str, Score] = {}

    def on_test_end(self, trainer: Any, module: Any) -> None:
        data = trainer.datamodule
        limits = {"valid": trainer.limit_val_batches, "test": trainer.limit_test_batches}
        for split, limit in limits.items():
            evaluator = FreeRunning(data.window, self.streams)
            evaluator.limit = limited(len(evaluator.windows(data.ids[split])), limit)
            if evaluator.limit == 0:
                continue
            say(f"free-running perplexity of the {split} text ({evaluator.limit:,} windows) ...")
            self.scores[split], _ = evaluate(evaluator, module.model, data.ids[split])
            for logger in trainer.loggers:
                perplexity = {f"{split}/free_running_perplexity": self.scores[split].perplexity}
                logger.log_metrics(perplexity, step=module.windows)
