"""A text prepared for a model: its vocabulary, its ids, and the windows of training, validation and test."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property

import numpy as np

from lm.data import encoded
from lm.data.encoded import Encoded
from lm.data.encoding import cache_folder, encode_cached, encode_split
from lm.data.source import SPLITS, Source, end_last_line
from lm.data.streams import EVAL_WINDOW, RandomWindows, Windows, one_stream
from lm.data.text_size import TextSize, size_of
from lm.data.tokenisers import EOS
from lm.data.vocabulary import Vocab
from lm.data.vocabulary_choice import VocabularyChoice
from lm.system.bounds import Count, bounded
from lm.system.errors import UserError

WORDS = VocabularyChoice()


class Corpus:
    """A text that is read in windows: the training text as parallel streams, validation and test as one stream each.

    A text is read when it is first needed. Validation and test score every token but the first, so their perplexities
    depend on neither `batch_size` nor `window`.

    Args:
        source: the three texts.
        batch_size: number of parallel streams of the training text.
        window: tokens of each stream in one training window.
        eval_window: tokens that validation and test read at a time; it limits memory and changes no result.
        choice: how the vocabulary is found, and with which tokeniser.
    """

    @bounded("data")
    def __init__(
        self,
        source: Source,
        batch_size: Count,
        window: Count,
        eval_window: Count = EVAL_WINDOW,
        choice: VocabularyChoice = WORDS,
    ) -> None:
        self.source, self.choice = source, choice
        self.batch_size, self.window, self.eval_window = batch_size, window, eval_window
        self._between: Callable[[], None] = lambda: None

    @cached_property
    def encoded(self) -> Encoded:
        return encode_cached(self.source, self.choice, self._between)

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
        stored = self._stored()
        if stored is not None and stored.vocab == vocab:
            return stored.ids[split]
        return encode_split(self.source, split, vocab)

    def split_size(self, split: str) -> TextSize:
        """The size of one split's text as it is read. Only this split's files have to be there."""
        stored = self.__dict__.get("encoded") or self._stored()
        if stored is not None:
            return stored.splits[split].size
        return sum(map(size_of, end_last_line(self.source.pieces(split))), TextSize())

    def _stored(self) -> Encoded | None:
        """The encoded texts, if they are already there."""
        if all(path.is_file() for paths in self.source.files.values() for path in paths):
            with suppress(UserError):  # another split's file may be unreadable
                return encoded.read(cache_folder(self.source, self.choice), self.choice.splitter)
        return None

    def split_words(self, split: str, vocab: Vocab) -> list[str]:
        """The tokens of one split as they stand in the text, in or out of the vocabulary."""
        first = [EOS] if self.source.documents else []
        return [*first, *(word for text in end_last_line(self.source.pieces(split)) for word in vocab.split(text))]

    @property
    def tokens(self) -> dict[str, int]:
        """How many tokens each split has."""
        return {name: split.tokens for name, split in self.encoded.splits.items()}

    @property
    def unknown(self) -> dict[str, int]:
        """How many tokens of each split are `<unk>`."""
        return {name: split.unknown for name, split in self.encoded.splits.items()}

    def source_perplexity(self, split: str) -> float | None:
        """The perplexity of a split under the process that generated it. No model does better. None if unknown."""
        if not self.source.knows_nats:
            return None
        nats = self.source.nats([self.vocab.words[word] for word in self.ids[split].tolist()])
        return None if nats is None else math.exp(nats.mean())

    def randomise_windows(self, seed: int) -> None:
        """Give training windows random lengths around `window` from now on; `seed` determines the lengths."""
        self.train = RandomWindows(self.ids["train"], len(self.train.streams), self.window, seed, "train")
