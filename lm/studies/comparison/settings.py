"""The settings of a comparison, and the device on which it is computed."""

from __future__ import annotations

from dataclasses import dataclass

from lm.config.study_schemas import Comparison
from lm.system.errors import UserError


@dataclass
class Settings(Comparison):
    """The settings of a comparison (see `lm.config.schemas.Comparison`); `device` is the device's name in torch.

    With `brief`, only what the brief page shows is measured.
    """

    device: str = "cpu"
    brief: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("words", "prompts", "pairs"):
            if self.brief and getattr(self, name) is not None:
                raise UserError(f"{name}: the brief page has no distances and no samples; choose brief=false")
