"""When checkpoints are written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl

from lm.runs.checkpoint import BEST, FOLDER, LAST, Description
from lm.runs.run_folder import EVENTS
from lm.system.bounds import AtLeast, bounded
from lm.system.files import whole
from lm.system.signals import StopRequest


class Checkpoint(pl.callbacks.Checkpoint):
    """`checkpoints/last.ckpt` every `every_n_windows` windows (0: not) and after each epoch; `best.ckpt` after the
    epoch whose validation perplexity is the lowest so far.

    A file is written aside and renamed: whatever stands under these names is whole. Asked to stop, training ends as
    soon as everything can be saved: behind the window at hand, or an epoch's last one with its validation.
    """

    @bounded("callbacks.checkpoint")
    def __init__(
        self,
        run_dir: str,
        description: Description,
        stop: StopRequest,
        every_n_windows: Annotated[int, AtLeast(0)] = 500,
    ) -> None:
        self.folder = Path(run_dir) / FOLDER
        self.description = description
        self.every_n_windows = every_n_windows
        self.stop = stop
        self._due = False  # a checkpoint is owed, and waits for a place where everything can be saved
        self._improved = False  # the newest validation was the best

    def on_load_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        if not (self.folder / BEST).is_file():  # a best epoch without weights: the next one is the first that counts
            module.best_epoch, module.best_score = None, {}

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        for logger in trainer.loggers:
            logger.save()
        events = {path.name: path.stat().st_size for path in self.folder.parent.glob(EVENTS)}
        self.description.put_into(checkpoint, events)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        self._due |= bool(self.stop) or (self.every_n_windows > 0 and module.windows % self.every_n_windows == 0)
        # After an epoch's last window validation is still to come: there the epoch's own checkpoint is the place.
        if self._due and module.between_updates and not trainer.is_last_batch:
            self._save(trainer, LAST)
            self._due = False
            self.stop.obey()

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        self._improved = module.best_epoch == trainer.current_epoch + 1

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
