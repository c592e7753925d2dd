"""Where documents begin: marked in a text by a character that no text has, kept beside the ids."""

from __future__ import annotations

from typing import Any

import numpy as np

MARK = "\0"
"""Stands before each document in a text that is encoded. The reader refuses a text that contains it."""


class Ids(np.ndarray):
    """Ids [N] of a text of documents. `starts`: the places of the `<eos>` that is read before each document's words.

    A contiguous part keeps the places that lie in it. The result of any other operation has none: `starts` is None.
    """

    starts: np.ndarray | None

    def __new__(cls, ids: np.ndarray, starts: np.ndarray) -> Ids:
        found = np.asarray(ids).view(cls)
        found.starts = starts
        return found

    def __array_finalize__(self, _: Any) -> None:
        self.starts = None

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if isinstance(key, slice) and key.step in (None, 1) and self.starts is not None:
            first, end, _ = key.indices(len(self))
            part.starts = self.starts[(self.starts >= first) & (self.starts < end)] - first
        return part


def starts_of(ids: np.ndarray) -> np.ndarray:
    """The places where documents begin; none in ids that are one text."""
    starts = getattr(ids, "starts", None)
    return np.zeros(0, np.int64) if starts is None else starts
