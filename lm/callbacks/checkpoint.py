"""When checkpoints are written."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lm.checkpoint import BEST, FOLDER, LAST, describe_run
from lm.data.vocab import Vocab
from lm.errors import UserError


class Checkpoint(pl.callbacks.Checkpoint):
    """`checkpoints/last.ckpt` after each epoch (and every `every_n_windows` windows; 0: not), `best.ckpt` where
    validation perplexity is lowest so far.

    A file is written aside and renamed: whatever stands under these names is whole.
    """

    def __init__(self, run_dir: str, vocab: Vocab, config: dict[str, Any], every_n_windows: int = 0) -> None:
        if every_n_windows < 0:
            raise UserError(f"callbacks.checkpoint.every_n_windows must be 0 (off) or more; got {every_n_windows}")
        self.folder = Path(run_dir) / FOLDER
        self.every_n_windows = every_n_windows
        self.best_epoch: int | None = None  # counted from 1
        self.best_score: dict[str, Any] = {}  # perplexity (the lowest so far), nats and tokens of validation
        self._about = describe_run(vocab, config)

    def state_dict(self) -> dict[str, Any]:
        return {"best_epoch": self.best_epoch, "best_score": self.best_score}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best_epoch, self.best_score = state["best_epoch"], state["best_score"]

    @property
    def best(self) -> float:
        """The lowest validation perplexity so far; inf before the first validation."""
        return float(self.best_score.get("perplexity", math.inf))

    def on_save_checkpoint(self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint.update(self._about)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if self.every_n_windows and module.windows % self.every_n_windows == 0:
            self._save(trainer, LAST)

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        score = module.scores["valid"].as_dict()
        if score["perplexity"] < self.best:
            self.best_score, self.best_epoch = score, trainer.current_epoch + 1
            self._save(trainer, BEST)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self._save(trainer, LAST)

    def _save(self, trainer: pl.Trainer, name: str) -> None:
        path = self.folder / name
        aside = path.with_name(f".{name}.writing")
        try:
            trainer.save_checkpoint(aside)
            os.replace(aside, path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise UserError(
                f"cannot write the checkpoint {path}: {error.strerror or error}; free some space or choose another "
                "folder with hydra.run.dir=DIR. Earlier checkpoints are untouched"
            ) from None
