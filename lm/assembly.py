"""Lightning's part of a run: the module around the model, the trainer around the module."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lm.build import build
from lm.callbacks.checkpoint import Checkpoint
from lm.callbacks.progress import Bar, Progress
from lm.config import TBPTT, without_profile
from lm.data.streams import limited
from lm.errors import UserError
from lm.module import LanguageModule
from lm.regularisation import Regularisation


def make_module(config: dict[str, Any], data: Any, model: Any, trainer: pl.Trainer) -> LanguageModule:
    forcing, tbptt = build(config["forcing"], "forcing"), TBPTT(**config["tbptt"])
    windows = limited(len(data.train_dataloader()), trainer.limit_train_batches)
    per_window = config["data"]["window"] if forcing.update == "token" else 1
    per_epoch = -(-windows * per_window // tbptt.windows)
    return LanguageModule(
        model,
        forcing,
        build(config["optim"], "optim"),
        updates_per_epoch=per_epoch,
        total_updates=per_epoch * (trainer.max_epochs or 1),
        tbptt_windows=tbptt.windows,
        base_length=config["data"]["window"] if tbptt.random_length else None,
        state_reset=tbptt.reset,
        regularisation=Regularisation(**config.get("regularisation", {})),
    )


def make_trainer(
    config: dict[str, Any], accelerator: dict[str, Any], callbacks: list[Any], loggers: list[Any], run_dir: Path
) -> pl.Trainer:
    available = {
        "callbacks": callbacks,
        "logger": loggers,
        "default_root_dir": str(run_dir),
        "enable_progress_bar": any(isinstance(callback, Bar) for callback in callbacks),
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in callbacks),
        "num_sanity_val_steps": 0,
        **accelerator,
    }
    try:
        trainer: pl.Trainer = build(without_profile(config["trainer"]), "trainer", available)
    except ValueError as error:
        raise UserError(f"trainer / accelerator: {' '.join(str(error).split())}") from None
    return trainer


def bars(callbacks: list[Any]) -> list[Bar]:
    """A progress bar where a person looks on; a log file gets lines instead."""
    return [Bar(callback) for callback in callbacks if isinstance(callback, Progress) and sys.stderr.isatty()]
