"""The LightningDataModule, and one function for each option of the `data` group that makes one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import pytorch_lightning as pl

from lm.data.encoding import encode_cached
from lm.data.ptb import PennTreebank
from lm.data.sources import PydocTopics, Source, TextFiles
from lm.data.streams import EVAL_WINDOW, RandomWindows, Windows, one_stream
from lm.data.synthetic import MarkovSource
from lm.errors import UserError


class CorpusDataModule(pl.LightningDataModule):
    """A text as `batch_size` parallel streams, read in windows of `window` tokens.

    Validation and test read their split as one unbroken stream, every token but the first scored: their perplexity
    depends on neither setting. `eval_window` is how many tokens they take at a time; it bounds memory, nothing else.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        window: int,
        eval_window: int = EVAL_WINDOW,
        unit: str = "word",
        vocab_size: int | None = None,
        min_count: int = 1,
    ) -> None:
        super().__init__()
        self.source = source
        for name, value in (("eval_window", eval_window), ("min_count", min_count)):
            if value < 1:
                raise UserError(f"data.{name} must be at least 1; got {value}")
        if vocab_size is not None and vocab_size < 3:
            raise UserError(f"data.vocab_size must be at least 3 (<eos>, <unk> and one word); got {vocab_size}")
        corpus = encode_cached(source, unit, vocab_size, min_count)
        self.vocab, self.ids = corpus.vocab, corpus.ids
        self.window = window
        self._train: Windows = Windows(self.ids["train"], batch_size, window, "train")
        self._valid = one_stream(self.ids["valid"], eval_window, "valid")
        self._test = one_stream(self.ids["test"], eval_window, "test")

    @property
    def tokens_per_window(self) -> float:
        """Targets of one training window, all streams together; of windows of random lengths, the mean."""
        return len(self._train.streams) * self._train.mean_length

    def own_perplexity(self, split: str) -> float | None:
        """That of the process which wrote a split, where it is known: what no honest model can be much below."""
        words = [self.vocab.words[word] for word in self.ids[split].tolist()]
        if not isinstance(self.source, MarkovSource) or set(words) - set(self.source.words):  # rare ones left out
            return None
        return math.exp(self.source.nats(words).mean())

    def randomise_windows(self, seed: int) -> None:
        """From here on training windows have random lengths around `window`, which `seed` settles."""
        self._train = RandomWindows(self.ids["train"], len(self._train.streams), self.window, seed, "train")

    def train_dataloader(self) -> Windows:
        return self._train

    def val_dataloader(self) -> Windows:
        return self._valid

    def test_dataloader(self) -> Windows:
        return self._test


def ptb(batch_size: int, window: int, min_count: int = 1, eval_window: int = EVAL_WINDOW) -> CorpusDataModule:
    """The Penn Treebank: 929,589 / 73,760 / 82,430 tokens, 10,000 words (fewer with `min_count`: another vocabulary,
    whose perplexities do not compare with published ones)."""
    return CorpusDataModule(PennTreebank(), batch_size, window, eval_window, min_count=min_count)


def text(
    train: str,
    batch_size: int,
    window: int,
    valid: str | None = None,
    test: str | None = None,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    unit: Literal["word", "character"] = "word",
    vocab_size: int | None = None,
    min_count: int = 1,
    eval_window: int = EVAL_WINDOW,
) -> CorpusDataModule:
    """Any UTF-8 text: one file, split at line ends by `fractions`, or three, used as they are."""
    files = TextFiles(train, valid, test, fractions)
    return CorpusDataModule(files, batch_size, window, eval_window, unit, vocab_size, min_count)


def pydoc(
    batch_size: int, window: int, vocab_size: int | None = None, min_count: int = 2, eval_window: int = EVAL_WINDOW
) -> CorpusDataModule:
    """The language reference inside Python's standard library: real text without any network."""
    return CorpusDataModule(PydocTopics(), batch_size, window, eval_window, vocab_size=vocab_size, min_count=min_count)


def synthetic(
    batch_size: int,
    window: int,
    words: int = 50,
    tokens: int = 100_000,
    alpha: float = 0.1,
    source_seed: int = 0,
    eval_window: int = EVAL_WINDOW,
) -> CorpusDataModule:
    """A Markov chain of known entropy over `words` words, for tests and for checks of a model's honesty."""
    return CorpusDataModule(MarkovSource(words, tokens, alpha, source_seed), batch_size, window, eval_window)
