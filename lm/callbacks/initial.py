"""What the run began with, kept for comparisons: how far training has moved the embedding."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from lm.checkpoint import FOLDER, INITIAL


class InitialEmbedding(pl.Callback):
    """Writes the embedding [V, E] before the first window into `checkpoints/`; a run that goes on keeps its own."""

    def __init__(self, run_dir: str) -> None:
        self.path = Path(run_dir) / FOLDER / INITIAL

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if module.windows > 0:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_name(f".{self.path.name}.writing")
        torch.save({"embedding": module.model.embedding.weight.detach().cpu().clone()}, aside)
        os.replace(aside, self.path)
