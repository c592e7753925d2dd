"""What a comparison asks for, and where it is worked out."""

from __future__ import annotations

from dataclasses import dataclass

from lm.config.schemas import Comparison


@dataclass
class Settings(Comparison):
    """See `lm.config.schemas.Comparison`; `device` is a name of torch's."""

    device: str = "cpu"
