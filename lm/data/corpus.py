"""A text prepared for a model: its vocabulary, its ids, and the windows of training, validation and test."""

from __future__ import annotations

import math
from typing import Annotated

from lm.data.encoding import encode_cached
from lm.data.source import Source
from lm.data.streams import EVAL_WINDOW, RandomWindows, Windows, one_stream
from lm.system.bounds import AtLeast, Count, bounded

VocabSize = Annotated[int, AtLeast(3)]
"""At least <eos>, <unk> and one word."""


class Corpus:
    """A text as parallel streams, read in windows.

    Validation and test read their split as one unbroken stream and score every token but the first, so their perplexity
    depends on neither `batch_size` nor `window`.

    Args:
        source: the three texts.
        batch_size: number of parallel streams of the training text.
        window: tokens of each stream in one training window.
        eval_window: tokens that validation and test read at a time; it bounds memory and changes no figure.
        unit: "word" or "character": what a token is.
        vocab_size: largest size of the vocabulary, `<eos>` and `<unk>` included; None: no limit.
        min_count: tokens that occur less often become `<unk>`.
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
    ) -> None:
        self.source = source
        encoded = encode_cached(source, unit, vocab_size, min_count)
        self.vocab, self.ids, self.checksums = encoded.vocab, encoded.ids, encoded.checksums
        self.window = window
        self.train: Windows = Windows(self.ids["train"], batch_size, window, "train")
        self.valid = one_stream(self.ids["valid"], eval_window, "valid")
        self.test = one_stream(self.ids["test"], eval_window, "test")

    @property
    def tokens(self) -> dict[str, int]:
        """The length of each split."""
        return {split: len(ids) for split, ids in self.ids.items()}

    @property
    def tokens_per_window(self) -> float:
        """Targets in one training window, over all streams; the mean for windows of random lengths."""
        return len(self.train.streams) * self.train.mean_length

    def source_perplexity(self, split: str) -> float | None:
        """The perplexity of a split under the process that generated it, a lower bound for any model; None: unknown."""
        if not self.source.knows_nats:
            return None
        nats = self.source.nats([self.vocab.words[word] for word in self.ids[split].tolist()])
        return None if nats is None else math.exp(nats.mean())

    def randomise_windows(self, seed: int) -> None:
        """From now on give training windows random lengths around `window`, determined by `seed`."""
        self.train = RandomWindows(self.ids["train"], len(self.train.streams), self.window, seed, "train")
