"""A text made ready: its vocabulary, its ids, and the windows that training, validation and test read."""

from __future__ import annotations

import math
from typing import Annotated

from lm.data.encoding import encode_cached
from lm.data.source import Source
from lm.data.streams import EVAL_WINDOW, RandomWindows, Windows, one_stream
from lm.system.bounds import AtLeast, Count, bounded

VocabSize = Annotated[int, AtLeast(3)]
"""<eos>, <unk> and one word at least."""


class Corpus:
    """A text as `batch_size` parallel streams, read in windows of `window` tokens.

    Validation and test read their split as one unbroken stream, every token but the first scored: their perplexity
    depends on neither setting. `eval_window` is how many tokens they take at a time; it bounds memory, nothing else.
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
        """Targets of one training window, all streams together; of windows of random lengths, the mean."""
        return len(self.train.streams) * self.train.mean_length

    def source_perplexity(self, split: str) -> float | None:
        """That of the process which wrote a split, where it is known: what no honest model can be much below."""
        if not self.source.knows_nats:
            return None
        nats = self.source.nats([self.vocab.words[word] for word in self.ids[split].tolist()])
        return None if nats is None else math.exp(nats.mean())

    def randomise_windows(self, seed: int) -> None:
        """From here on training windows have random lengths around `window`, which `seed` settles."""
        self.train = RandomWindows(self.ids["train"], len(self.train.streams), self.window, seed, "train")
