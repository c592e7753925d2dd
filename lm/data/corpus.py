"""A text prepared for a model: its vocabulary, its ids, and the windows of training, validation and test."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Annotated

import numpy as np

from lm.data import encoded
from lm.data.encoded import Encoded
from lm.data.encoding import cache_folder, encode_cached, encode_split
from lm.data.source import SPLITS, Source, end_last_line
from lm.data.streams import EVAL_WINDOW, RandomWindows, Windows, one_stream
from lm.data.vocabulary import Vocab
from lm.system.bounds import AtLeast, Count, bounded
from lm.system.errors import UserError

VocabSize = Annotated[int, AtLeast(3)]
"""The type of a vocabulary's size: at least 3, for `<eos>`, `<unk>` and one word."""


class Corpus:
    """A text that is read in windows: the training text as parallel streams, validation and test as one stream each.

    A text is read when it is first needed. Validation and test score every token but the first, so their perplexities
    depend on neither `batch_size` nor `window`.

    Args:
        source: the three texts.
        batch_size: number of parallel streams of the training text.
        window: tokens of each stream in one training window.
        eval_window: tokens that validation and test read at a time; it limits memory and changes no result.
        unit: "word" or "character": what a token is.
        vocab_size: largest size of the vocabulary, `<eos>` and `<unk>` included; None: no limit.
        min_count: tokens that occur less often become `<unk>`.
        vocab: the vocabulary to use, instead of one chosen from the training text.
    """

    @bounded("data")
    def __init__(
        self,
        source: Source,
        batch_size: Count,
        window: Count,
        eval_window: Count = EVAL_WINDOW,
        unit: str = "word",
        vocab_size: VocabSize | None = None,
        min_count: Count = 1,
        vocab: Vocab | None = None,
    ) -> None:
        if vocab is not None and (vocab_size is not None or min_count > 1):
            raise UserError("data.vocab_size and data.min_count choose a vocabulary, but one is given: leave them out")
        if vocab is not None and vocab.unit != unit:
            raise UserError(
                f"data.unit={unit}, but the given vocabulary has {vocab.unit}s: choose data.unit={vocab.unit}"
            )
        self.source = source
        self.batch_size, self.window, self.eval_window = batch_size, window, eval_window
        self.unit, self.vocab_size, self.min_count, self.given_vocab = unit, vocab_size, min_count, vocab
        self._between: Callable[[], None] = lambda: None

    @cached_property
    def encoded(self) -> Encoded:
        return encode_cached(self.source, self.unit, self.vocab_size, self.min_count, self.given_vocab, self._between)

    @property
    def vocab(self) -> Vocab:
        return self.encoded.vocab

    @property
    def ids(self) -> dict[str, np.ndarray]:
        """The ids [N] of each split."""
        return self.encoded.ids

    @cached_property
    def train(self) -> Windows:
        return Windows(self.ids["train"], self.batch_size, self.window, "train")

    @cached_property
    def valid(self) -> Windows:
        return one_stream(self.ids["valid"], self.eval_window, "valid")

    @cached_property
    def test(self) -> Windows:
        return one_stream(self.ids["test"], self.eval_window, "test")

    def prepare(self, between: Callable[[], None] = lambda: None) -> None:
        """Read and encode all texts now, and cut them into windows. Raises UserError if that fails.

        `between` is called after each piece of a text; an exception that it raises ends the work.
        """
        self._between = between
        for split in SPLITS:
            getattr(self, split)

    def split_ids(self, split: str, vocab: Vocab) -> np.ndarray:
        """The ids [N] of one split in a given vocabulary. Only this split's files have to be there."""
        if all(path.is_file() for paths in self.source.files.values() for path in paths):
            with suppress(UserError):  # another split's file may be unreadable
                folder = cache_folder(self.source, self.unit, self.vocab_size, self.min_count, self.given_vocab)
                stored = encoded.read(folder)  # the fastest way to the ids
                if stored is not None and stored.vocab == vocab:
                    return stored.ids[split]
        return encode_split(self.source, split, vocab)

    def split_words(self, split: str, vocab: Vocab) -> list[str]:
        """The tokens of one split as they stand in the text, in or out of the vocabulary."""
        return [word for text in end_last_line(self.source.pieces(split)) for word in vocab.split(text)]

    @property
    def tokens(self) -> dict[str, int]:
        """How many tokens each split has."""
        return {name: split.tokens for name, split in self.encoded.splits.items()}

    @property
    def unknown(self) -> dict[str, int]:
        """How many tokens of each split are `<unk>`."""
        return {name: split.unknown for name, split in self.encoded.splits.items()}

    @property
    def tokens_per_window(self) -> float:
        """The number of targets in a training window, over all streams; the mean if windows have random lengths."""
        return len(self.train.streams) * self.train.mean_length

    def source_perplexity(self, split: str) -> float | None:
        """The perplexity of a split under the process that generated it. No model does better. None if unknown."""
        if not self.source.knows_nats:
            return None
        nats = self.source.nats([self.vocab.words[word] for word in self.ids[split].tolist()])
        return None if nats is None else math.exp(nats.mean())

    def randomise_windows(self, seed: int) -> None:
        """Give training windows random lengths around `window` from now on; `seed` determines the lengths."""
        self.train = RandomWindows(self.ids["train"], len(self.train.streams), self.window, seed, "train")
