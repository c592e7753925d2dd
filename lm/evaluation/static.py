"""The standard evaluation: fixed weights, and one unbroken stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lm.data.streams import EVAL_WINDOW
from lm.evaluation.evaluator import Reader, number
from lm.evaluation.reading import Reading, read_stream
from lm.models.interfaces import LanguageModel
from lm.system.bounds import Count


@dataclass(frozen=True)
class Static(Reader):
    """The standard evaluation: fixed weights, one unbroken stream from the first state. The first token is not scored.

    `window` tokens are read at a time; the perplexity does not depend on `window`.
    """

    window: Count = EVAL_WINDOW

    name: ClassVar[str] = "static"

    def read(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Reading]:
        yield from read_stream(model, ids, self.window, number(self.temperature))
