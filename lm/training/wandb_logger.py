"""Weights & Biases as one of a run's loggers (`logger=[tensorboard,wandb]`)."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.loggers import WandbLogger

from lm.system.extras import needed


def wandb_logger(
    config: dict[str, Any], save_dir: str, project: str, name: str | None = None, offline: bool = False
) -> WandbLogger:
    """A logger for Weights & Biases that also records the run's configuration.

    Args:
        config: the run's configuration.
        save_dir: the run's folder; with `offline`, `wandb sync FOLDER/wandb/offline-run-*` uploads it later.
        project: the project's name there.
        name: the run's name there; None: Weights & Biases invents one.
        offline: write to the run's folder only, without network.

    Raises UserError if the package wandb is not installed.
    """
    needed("wandb", "logger=wandb", '"recurrent-lm[wandb]"')
    return WandbLogger(name=name, project=project, offline=offline, save_dir=save_dir, config=config)
