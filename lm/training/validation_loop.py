"""Validation and test in a LightningModule. They give the same perplexity as the standard evaluation."""

from __future__ import annotations

import math
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from lm.data.streams import Window
from lm.evaluation import Score
from lm.models.interfaces import LanguageModel, State
from lm.system.errors import UserError
from lm.system.precision import exact
from lm.system.ranks import ALONE, Ranks
from lm.training.counters import Counted
from lm.training.curves import ONCE, Moment, write_point
from lm.training.optim.averages import WeightAverage


class Validated(Counted):
    """Validation and test: sums nats over one unbroken stream, with its own state, with averaged weights if any.

    Of several ranks the first one reads the text; the others take its figures, so that all decide alike.
    """

    model: LanguageModel
    average: WeightAverage

    def __init__(self, unk: int, ranks: Ranks = ALONE) -> None:
        super().__init__()
        self.unk, self.ranks = unk, ranks
        self._eval_state: State = []
        self._score = Score(unk)
        self.scores: dict[str, Score] = {}  # the latest one of each split
        self.best_epoch: int | None = None  # of the lowest validation perplexity so far, counted from 1
        self.best_score: dict[str, Any] = {}  # of that validation

    @property
    def best(self) -> float:
        """The lowest validation perplexity so far; inf before the first validation."""
        return float(self.best_score.get("perplexity", math.inf))

    def on_validation_start(self) -> None:
        self.average.swap()

    def on_validation_end(self) -> None:  # after the callbacks, which see the validated weights
        self.average.swap()
        self.average.validated(self.scores["valid"].nats_per_token, self.seconds)

    def on_validation_epoch_start(self) -> None:
        self._score = Score(self.unk)

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, window: Window, batch_idx: int) -> None:
        if not self.ranks.first:
            return
        self.ranks.check()
        # In fp32 even if training is in bf16, so that evaluate.py on the checkpoint gives the same perplexity.
        with exact(self.device.type):
            hidden, self._eval_state = self.model(window.inputs, self._eval_state, window.reset)
            self._score.add(window.targets, self.model.head.nll(hidden, window.targets))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._report("valid")
        if self._score.perplexity < self.best:
            self.best_score, self.best_epoch = self._score.as_dict(), self.current_epoch + 1
        schedule: Any = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(self._score.nats_per_token)

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def _report(self, split: str) -> None:
        self._score, self.seconds = self.ranks.from_first((self._score, self.seconds))
        score = self.scores[split] = self._score
        if not math.isfinite(score.perplexity):
            raise UserError(
                f"the {split} loss is {score.nats_per_token:.4g} nats per token after window {self.windows}: "
                "training has probably diverged; lower optim.lr or optim.clip"
            )
        metrics = {f"{split}/loss": score.nats_per_token, f"{split}/perplexity": score.perplexity}
        points = {"valid/seconds": self.seconds, **metrics}  # the seconds are those of training before it
        if split == "test":
            points = {f"{ONCE}/test_loss": score.nats_per_token, "test/perplexity": score.perplexity}
        write_point(self.loggers, Moment(self.windows, self.tokens, self.updates, self.seconds), points)
        self.log_dict(metrics, logger=False)  # for callbacks that watch a figure
