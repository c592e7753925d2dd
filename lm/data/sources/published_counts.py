"""The published counts of a corpus, and a corpus that is compared with them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lm.data.corpus import Corpus
from lm.data.encoded import Encoded
from lm.data.sources.published import PublishedFiles
from lm.data.tokenisers import Tokeniser
from lm.data.vocabulary_choice import VocabularyChoice


@dataclass(frozen=True)
class Counts:
    """Published counts of a corpus: the tokens of each split, and how many different ones the training text has."""

    tokens: Mapping[str, int]
    words: int | None = None

    def differences(self, encoded: Encoded, words: bool = True) -> list[str]:
        """Where an encoded text differs, in words. `words`: whether no word was left out of the vocabulary."""
        found = {split: facts.tokens for split, facts in encoded.splits.items()}
        said = [
            f"{found[split]:,} {split} tokens, published are {count:,}"
            for split, count in self.tokens.items()
            if found[split] != count
        ]
        different = int(np.count_nonzero(encoded.counts))
        if words and self.words is not None and different != self.words:
            said.append(f"{different:,} different tokens, published are {self.words:,}")
        return said


class PublishedCorpus(Corpus):
    """A corpus that is compared with its published counts; a difference is a warning.

    With another tokeniser than the published one nothing is compared.

    It is no error, because the counts come from papers and public code: a reader that counts otherwise would lock a
    user out. Files whose checksum is known are refused when it differs; see the sources.

    Args:
        published: the published counts.
        all_words: whether the settings leave no word out of the vocabulary that the published one has.
        tokeniser: the published one.
    """

    source: PublishedFiles

    def __init__(
        self,
        published: Counts,
        all_words: bool,
        tokeniser: Tokeniser,
        source: PublishedFiles,
        batch_size: int,
        window: int,
        eval_window: int,
        choice: VocabularyChoice,
    ) -> None:
        super().__init__(source, batch_size, window, eval_window, choice)
        self.published, self.all_words = published, all_words
        self.as_published = choice.tokeniser == tokeniser

    @cached_property
    def encoded(self) -> Encoded:
        encoded: Encoded = super().encoded
        if self.as_published and (said := self.published.differences(encoded, self.all_words)):
            warnings.warn(
                f"{self.source.title} is not as published in {self.source.folder}: {'; '.join(said)}. An excerpt or "
                "another version: its perplexities compare with no published ones",
                stacklevel=2,
            )
        return encoded
