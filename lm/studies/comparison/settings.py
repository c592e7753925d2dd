"""What a comparison asks for."""

from __future__ import annotations

from dataclasses import dataclass

from lm.system.errors import UserError


@dataclass(frozen=True)
class Settings:
    """What a comparison asks for; see conf/compare.yaml."""

    words: tuple[str, ...] | None = None
    prompts: tuple[str, ...] | None = None
    perplexities: tuple[float, ...] | None = None
    confidence: float = 0.95
    resamples: int = 4000
    sequences: int = 20
    sample_words: int = 100
    frequent: int = 1000
    neighbours: int = 10
    seed: int = 0
    device: str = "cpu"
    trust: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise UserError(f"confidence must lie between 0 and 1, as in 0.95; got {self.confidence}")
        least = {"resamples": 100, "sequences": 1, "sample_words": 3, "frequent": 3, "neighbours": 1, "seed": 0}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise UserError(f"{name} must be at least {lowest}; got {getattr(self, name)}")
        if self.words is not None and len(set(self.words)) < 2:
            raise UserError(f"words: two or more are needed for a distance; got {list(self.words)}")
        if any(not 1 < level < float("inf") for level in self.perplexities or ()):
            raise UserError(f"perplexities must be numbers above 1; got {list(self.perplexities or ())}")
