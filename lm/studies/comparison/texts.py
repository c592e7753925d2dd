"""Loads the texts that runs were trained on; a text that several runs share is read once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lm.data.source import SPLITS
from lm.data.vocabulary import Vocab
from lm.runs.trained import Trained
from lm.studies.comparison.ngram import TrigramModel

PROMPT_TOKENS = 12
"""Tokens of a prompt; two if they are words."""


@dataclass(frozen=True)
class Text:
    """A corpus as ids, with its vocabulary; `key` is equal for equal texts."""

    vocab: Vocab
    ids: dict[str, NDArray[np.integer]]

    @cached_property
    def key(self) -> str:
        digest = hashlib.sha256(vocab_key(self.vocab).encode())
        for split in sorted(self.ids):
            digest.update(self.ids[split].tobytes())
        return digest.hexdigest()

    @cached_property
    def judge(self) -> TrigramModel:
        """An n-gram model of the training text."""
        return TrigramModel(self.ids["train"], len(self.vocab))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How often each word of the vocabulary occurs in the training text, [V]."""
        return np.bincount(self.ids["train"], minlength=len(self.vocab))

    def frequent(self, count: int) -> NDArray[np.int64]:
        """Ids of up to `count` words that are most frequent in the training text, without `<eos>` and `<unk>`."""
        order = np.argsort(-self.counts, kind="stable")
        words = [i for i in order.tolist() if i not in (self.vocab.eos, self.vocab.unk) and self.counts[i] > 0]
        return np.array(words[:count])

    def prompts(self, vocabs: list[Vocab], count: int = 3) -> list[str]:
        """Up to `count` sentence beginnings, spread evenly over the test text, with words that are in all `vocabs`."""
        tokens = 2 if self.vocab.tokeniser.unit == "word" else PROMPT_TOKENS
        ids = self.ids["test"]
        starts = np.flatnonzero(ids[: -tokens - 1] == self.vocab.eos) + 1
        found = []
        for part in np.array_split(starts, count):
            for start in part.tolist():
                words = ids[start : start + tokens].tolist()
                if {self.vocab.eos, self.vocab.unk} & set(words):
                    continue
                prompt = self.vocab.decode(words)
                if all(word in vocab for vocab in vocabs for word in vocab.split(prompt)):
                    found.append(prompt)
                    break
        return list(dict.fromkeys(found))


def vocab_key(vocab: Vocab) -> str:
    """A key of a vocabulary: equal vocabularies have equal keys."""
    return hashlib.sha256(json.dumps([vocab.tokeniser.as_node(), *vocab.words]).encode()).hexdigest()


class Library:
    """Loaded texts, by their data configuration, so that each text is read once."""

    def __init__(self) -> None:
        self._texts: dict[str, Text] = {}

    def text(self, trained: Trained) -> Text:
        """The text that a checkpoint was trained on. Raises UserError if the text is missing or has changed."""
        key = json.dumps(trained.config["data"], sort_keys=True)
        if key not in self._texts or self._texts[key].vocab != trained.vocab:
            self._texts[key] = Text(trained.vocab, {split: trained.split_ids(split) for split in SPLITS})
        return self._texts[key]
