"""The callback that saves checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl

from lm.runs.checkpoint import BEST, FOLDER, LAST, Description
from lm.runs.run_folder import curve_files
from lm.system.bounds import AtLeast, bounded
from lm.system.files import whole
from lm.system.signals import StopRequest


class Checkpoint(pl.callbacks.Checkpoint):
    """Saves `checkpoints/last.ckpt` during and after each epoch, and `best.ckpt` after the best epoch so far.

    Each file is written under a temporary name and then renamed, so a file with a final name is complete. After a stop
    request, training ends as soon as a checkpoint can be saved: after a window, or after an epoch's validation.

    Args:
        run_dir: the run's folder.
        description: facts about the run, saved with the weights.
        stop: stop request, set by Ctrl-C or SIGTERM.
        every_n_windows: save `last.ckpt` also after every n windows (0: only after epochs).
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
        self._due = False  # a checkpoint is due, but waits until everything can be saved
        self._improved = False  # the latest validation was the best

    def on_load_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        if not module.ranks.from_first((self.folder / BEST).is_file()):  # no weights of the best epoch: search again
            module.best_epoch, module.best_score = None, {}

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        for logger in trainer.loggers:
            logger.save()
        events = {name: path.stat().st_size for name, path in curve_files(self.folder.parent).items()}
        self.description.put_into(checkpoint, events)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        self._due |= bool(self.stop) or (self.every_n_windows > 0 and module.windows % self.every_n_windows == 0)
        # After an epoch's last window, validation follows, and then `on_train_epoch_end` saves.
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
        if not trainer.is_global_zero:  # the first rank writes, with the state of all
            trainer.save_checkpoint(self.folder / name)
            return
        hint = "free some space or choose another folder with hydra.run.dir=DIR. Earlier checkpoints are untouched"
        with whole(self.folder / name, hint) as aside:
            trainer.save_checkpoint(aside)
