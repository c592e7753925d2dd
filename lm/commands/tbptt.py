"""`tbptt.py`: what detaching the state buys, measured and drawn."""

from __future__ import annotations

from omegaconf import DictConfig

from lm.commands.inputs import plain_node
from lm.studies.truncation.suite import study


def tbptt(cfg: DictConfig) -> None:
    """Measure, print, and write the report. Raises UserError for settings that leave nothing to measure."""
    settings = plain_node(cfg)
    study(settings)
