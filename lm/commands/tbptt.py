"""`tbptt.py`: what detaching the state buys, measured and drawn."""

from __future__ import annotations

from omegaconf import DictConfig

from lm.config.hydra_job import checked
from lm.studies.truncation.suite import study


def tbptt(cfg: DictConfig) -> None:
    """Measure, print, and write the report. Raises UserError for settings that leave nothing to measure."""
    study(checked(cfg))
