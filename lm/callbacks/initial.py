"""What the run began with, kept for comparisons: how far training has moved the embedding."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from lm.checkpoint import INITIAL
from lm.errors import UserError


class InitialEmbedding(pl.Callback):
    """Writes the embedding [V, E] before the first window into the run's folder; a run that goes on keeps its own."""

    def __init__(self, run_dir: str) -> None:
        self.path = Path(run_dir) / INITIAL

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if module.windows > 0:
            return
        aside = self.path.with_name(f".{self.path.name}.writing")
        try:
            torch.save({"embedding": module.model.embedding.weight.detach().cpu().clone()}, aside)
            os.replace(aside, self.path)
        except (OSError, RuntimeError) as error:  # torch's own writer tells of a full disk by a RuntimeError
            aside.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise UserError(
                f"cannot write {self.path}: {reason}; free some space or choose another folder with hydra.run.dir=DIR"
            ) from None
