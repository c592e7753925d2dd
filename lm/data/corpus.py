"""A text prepared for a model: its vocabulary, its ids, and the windows of training, validation and test."""

from __future__ import annotations

import math
from typing import Annotated

from lm.data.encoding import encode_cached
from lm.data.source import Source
from lm.data.streams import EVAL_WINDOW, RandomWindows, Windows, one_stream
from lm.system.bounds import AtLeast, Count, bounded

VocabSize = Annotated[int, AtLeast(3)]
"""The type of a vocabulary's size: at least 3, for `<eos>`, `<unk>` and one word."""


class Corpus:
    """A text that is read in windows: the training text as parallel streams, validation and test as one stream each.

    Validation and test score every token but the first, so their perplexities depend on neither `batch_size` nor
    `window`.

    Args:
        source: the three texts.
        batch_size: number of parallel streams of the training text.
        window: tokens of each stream in one training window.
        eval_window: tokens that validation and test read at a time; it limits memory and changes no result.
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
        """The number of tokens in each split."""
        return {split: len(ids) for split, ids in self.ids.items()}

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
