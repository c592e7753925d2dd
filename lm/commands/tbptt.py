"""`tbptt.py`: what detaching the state buys, measured and drawn."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from lm.studies.truncation.suite import study


def tbptt(cfg: DictConfig) -> None:
    """Measure, print, and write the report. Raises UserError for settings that leave nothing to measure."""
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    study(settings)
