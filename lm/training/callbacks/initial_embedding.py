"""Saves the initial embedding, so that reports can measure how far training has moved it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from lm.runs.run_folder import INITIAL
from lm.system.files import whole


class InitialEmbedding(pl.Callback):
    """Saves the embedding [V, E] in the run's folder before the first window; a resumed run saves nothing."""

    def __init__(self, run_dir: str) -> None:
        self.path = Path(run_dir) / INITIAL

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if module.windows > 0:
            return
        with whole(self.path, "free some space or choose another folder with hydra.run.dir=DIR") as aside:
            torch.save({"embedding": module.model.embedding.weight.detach().cpu().clone()}, aside)
