"""When checkpoints are written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lm.checkpoint import BEST, EVENTS, FOLDER, LAST, describe_run
from lm.data.vocab import Vocab
from lm.errors import UserError
from lm.files import whole
from lm.interrupt import StopRequest


class Checkpoint(pl.callbacks.Checkpoint):
    """`checkpoints/last.ckpt` every `every_n_windows` windows (0: not) and after each epoch; `best.ckpt` after the
    epoch whose validation perplexity is the lowest so far.

    A file is written aside and renamed: whatever stands under these names is whole. Asked to stop, training ends as
    soon as everything can be saved: behind the window at hand, or an epoch's last one with its validation.
    """

    def __init__(
        self, run_dir: str, vocab: Vocab, config: dict[str, Any], stop: StopRequest, every_n_windows: int = 500
    ) -> None:
        if every_n_windows < 0:
            raise UserError(f"callbacks.checkpoint.every_n_windows must be 0 (off) or more; got {every_n_windows}")
        self.folder = Path(run_dir) / FOLDER
        self.every_n_windows = every_n_windows
        self.stop = stop
        self.best_epoch: int | None = None  # counted from 1
        self.best_score: dict[str, Any] = {}  # perplexity (the lowest so far), nats and tokens of validation
        self._due = False  # a checkpoint is owed, and waits for a place where everything can be saved
        self._improved = False  # the newest validation was the best
        self._about = describe_run(vocab, config)

    @property
    def best(self) -> float:
        """The lowest validation perplexity so far; inf before the first validation."""
        return float(self.best_score.get("perplexity", math.inf))

    def state_dict(self) -> dict[str, Any]:
        return {"best_epoch": self.best_epoch, "best_score": self.best_score}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if (self.folder / BEST).is_file():  # else a best epoch without weights: the next one is the first that counts
            self.best_epoch, self.best_score = state["best_epoch"], state["best_score"]

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        for logger in trainer.loggers:
            logger.save()
        # How far the curves had come: what is written later is taken back when the run goes on from here.
        events = {path.name: path.stat().st_size for path in self.folder.parent.glob(EVENTS)}
        tokens = {split: len(ids) for split, ids in getattr(trainer.datamodule, "ids", {}).items()}
        checkpoint.update(self._about, events=events, tokens=tokens)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        self._due |= bool(self.stop) or (self.every_n_windows > 0 and module.windows % self.every_n_windows == 0)
        # After an epoch's last window validation is still to come: there the epoch's own checkpoint is the place.
        if self._due and module.between_updates and not trainer.is_last_batch:
            self._save(trainer, LAST)
            self._due = False
            self.stop.obey()

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        score = module.scores["valid"].as_dict()
        if score["perplexity"] < self.best:
            self.best_score, self.best_epoch, self._improved = score, trainer.current_epoch + 1, True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self._due = False
        if self._improved:
            self._save(trainer, BEST)
            self._improved = False
        self._save(trainer, LAST)
        self.stop.obey()

    def _save(self, trainer: pl.Trainer, name: str) -> None:
        module: Any = trainer.lightning_module
        module.refuse_non_finite()
        hint = "free some space or choose another folder with hydra.run.dir=DIR. Earlier checkpoints are untouched"
        with whole(self.folder / name, hint) as aside:
            trainer.save_checkpoint(aside)
