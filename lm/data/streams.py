"""Cuts ids into parallel streams, and streams into windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lm.data.documents import starts_of
from lm.system.bounds import Count, bounded
from lm.system.errors import UserError

EVAL_WINDOW = 512
"""The number of tokens that evaluation reads at a time. It limits memory; no result depends on it."""

ON_DEVICE_BYTES = 1 << 30


class Window(NamedTuple):
    """A window of parallel streams: inputs [B, T], and targets [B, T], which are the inputs shifted by one token.

    `reset` [B, T], bool, on the CPU: where it is true, the stream's state is set to its first value before it reads the
    input, because the text or a document begins there.
    """

    inputs: Tensor
    targets: Tensor
    reset: np.ndarray


def to_streams(ids: np.ndarray, batch_size: int) -> np.ndarray:
    """Cut ids [N] into `batch_size` contiguous rows: [B, N // B]. The ids that remain are dropped."""
    length = len(ids) // batch_size
    return ids[: batch_size * length].reshape(batch_size, length)


def one_stream(ids: np.ndarray, window: int = EVAL_WINDOW, name: str = "text") -> Windows:
    """The windows of one stream, for evaluation: every token of the text but the first is a target exactly once."""
    if len(ids) < 2:
        raise UserError(f"the {name} split has {len(ids)} tokens; at least 2 are needed to predict one from the other")
    return Windows(ids, 1, window, name, keep_last=True)


class Windows:
    """The windows of parallel streams in reading order: window k + 1 continues where window k ended.

    Iteration starts at the first window; after `load_state_dict` it starts after the last window of the saved run.

    Args:
        ids: the text [N]; see `lm.data.documents.Ids` for a text of documents.
        batch_size: number of parallel streams.
        window: tokens of each stream in a window.
        name: the split, for messages.
        keep_last: keep an incomplete last window. By default it is dropped, as in the classic exercise: 20 streams of
            PTB give 1,549 windows of 30.

    Raises:
        UserError: if the text is shorter than one window.
    """

    @bounded("data")
    def __init__(
        self,
        ids: np.ndarray,
        batch_size: Count,
        window: Count,
        name: str = "text",
        keep_last: bool = False,
    ) -> None:
        self.streams = to_streams(np.asarray(ids), batch_size)
        rows, columns = np.divmod(starts_of(ids), max(1, self.streams.shape[1]))
        kept = rows < batch_size
        order = np.argsort(columns[kept], kind="stable")
        self._starts = columns[kept][order], rows[kept][order]  # of documents: places in a stream, rising; streams
        self.window = window
        self.epoch = 0  # how often the text has been read
        self._on_device: Tensor | None = None  # a copy of the streams on the training device
        self._start = 0  # the first window of the next iteration
        self._position = 0  # number of windows that the current iteration has returned
        targets: int = max(0, self.streams.shape[1] - 1)
        self._count = -(-targets // window) if keep_last else targets // window
        if self._count == 0:
            raise UserError(
                f"the {name} split has {len(ids)} tokens: too few for one window of {batch_size} x {window} "
                f"(at least {batch_size * (window + 1)}); lower data.batch_size or data.window, or give more text"
            )

    def __len__(self) -> int:
        return self._count

    def keep(self, rows: slice) -> None:
        """Keep some of the streams only, those of one of several processes that share a batch."""
        first, end, _ = rows.indices(len(self.streams))
        columns, starting = self._starts
        own = (starting >= first) & (starting < end)
        self.streams, self._starts = self.streams[rows], (columns[own], starting[own] - first)

    @property
    def mean_length(self) -> float:
        """The number of tokens of one stream in a window, on average over an epoch."""
        targets: int = min(self._count * self.window, self.streams.shape[1] - 1)
        return targets / self._count

    def __iter__(self) -> Iterator[Window]:
        start, self._start = self._start, 0
        for k in range(start, self._count):
            self._position = k + 1
            yield self[k]

    def __getitem__(self, k: int) -> Window:
        first = k * self.window
        return self.piece(first, first + self.window)

    def put_on(self, device: torch.device) -> None:
        """Copy the streams to `device`, so that no window waits for a transfer.

        Streams that are too large stay in the main memory.
        """
        there = self._on_device is not None and self._on_device.device == device
        if not there and self.streams.size * 4 <= ON_DEVICE_BYTES:
            self._on_device = torch.from_numpy(self.streams.astype(np.int32)).to(device)

    def piece(self, first: int, end: int) -> Window:
        """The window of the inputs at the places `first` to `end` - 1 of each stream."""
        if self._on_device is not None:
            piece = self._on_device[:, first : end + 1].long()
        else:
            piece = torch.from_numpy(self.streams[:, first : end + 1].astype(np.int64))
        reset = np.zeros((len(self.streams), piece.shape[1] - 1), dtype=bool)
        columns, rows = self._starts
        here = slice(*np.searchsorted(columns, [first, first + reset.shape[1]]))
        reset[rows[here], columns[here] - first] = True
        if first == 0:
            reset[:, 0] = True
        return Window(piece[:, :-1], piece[:, 1:], reset)

    def state_dict(self) -> dict[str, int]:
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._start = self._position = state["position"] % self._count

    def rewind(self) -> None:
        """End the epoch, also if a limit ended it early. A state saved after this starts at the first window."""
        self._position = 0
        self.epoch += 1


class RandomWindows(Windows):
    """Windows of random lengths (Merity et al. 2018), so that their boundaries differ between epochs.

    A length is normally distributed around `window` tokens, or rarely around half of it, and at least `MINIMUM`. Every
    epoch has the same lengths in another order, so that all epochs have equally many windows. A remainder shorter than
    `MINIMUM` is dropped.

    Args:
        ids: the text [N].
        batch_size: number of parallel streams.
        window: mean length of most windows.
        seed: determines the lengths and their order in each epoch.
        name: the split, for messages.
    """

    FULL, DEVIATION, MINIMUM = 0.95, 5.0, 5
    """The probability that a length has mean `window`, the standard deviation in tokens, and the smallest length."""

    def __init__(self, ids: np.ndarray, batch_size: int, window: int, seed: int, name: str = "text") -> None:
        super().__init__(ids, batch_size, window, name)
        self.seed = seed
        # A separate generator: windows and torch's random draws must not change each other.
        generator = np.random.default_rng([seed, 0])
        left = self.streams.shape[1] - 1
        lengths: list[int] = []
        while left >= self.MINIMUM or not lengths:
            base = window if generator.random() < self.FULL else window / 2
            lengths.append(min(left, max(self.MINIMUM, int(generator.normal(base, self.DEVIATION)))))
            left -= lengths[-1]
        self._lengths = np.array(lengths)
        self._count = len(lengths)
        self._order: tuple[int, np.ndarray] | None = None  # an epoch, and its windows' starts with the last one's end

    @property
    def mean_length(self) -> float:
        return float(self._lengths.mean())

    def __getitem__(self, k: int) -> Window:
        if self._order is None or self._order[0] != self.epoch:
            lengths = np.random.default_rng([self.seed, 1, self.epoch]).permutation(self._lengths)
            self._order = self.epoch, np.concatenate([[0], lengths.cumsum()])
        ends = self._order[1]
        return self.piece(int(ends[k]), int(ends[k + 1]))


def true_where(reset: np.ndarray, true: Tensor, word: Tensor) -> Tensor:
    """The words [B] to read: the `true` ones where a document begins (`reset` [B], bool), `word` elsewhere."""
    return torch.where(torch.from_numpy(reset).to(word.device), true, word) if reset.any() else word


def limited(count: int, limit: float | int | None) -> int:
    """How many of `count` windows are read under one of Lightning's limits: a number of windows, or a fraction."""
    if limit is None:
        return count
    return min(count, limit) if isinstance(limit, int) else int(count * limit)
