"""`tbptt.py`: measures and draws the effect of detaching the state."""

from __future__ import annotations

from omegaconf import DictConfig

from lm.config.hydra_job import checked
from lm.studies.truncation.suite import study


def tbptt(cfg: DictConfig) -> None:
    """Measure what detaching the state changes, print the results, and write a report.

    Raises UserError if the settings leave nothing to measure.
    """
    study(checked(cfg))
