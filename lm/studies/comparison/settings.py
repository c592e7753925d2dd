"""The settings of a comparison, and the device on which it is computed."""

from __future__ import annotations

from dataclasses import dataclass

from lm.config.study_schemas import Comparison


@dataclass
class Settings(Comparison):
    """The settings of a comparison (see `lm.config.schemas.Comparison`); `device` is the device's name in torch.

    With `brief`, only what the brief page shows is measured.
    """

    device: str = "cpu"
    brief: bool = False
