"""Text from a Markov chain with known entropy. So the best perplexity that any model can reach is known too."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np

from lm.data.corpus import Corpus
from lm.data.source import SPLITS, Source
from lm.data.streams import EVAL_WINDOW
from lm.data.tokenisers import EOS
from lm.system.bounds import Above, AtLeast, Count, bounded


class MarkovSource(Source):
    """A first-order Markov chain whose transition probabilities are drawn from a Dirichlet distribution.

    Args:
        words: number of states; one state is the end of a line.
        tokens: length of the training text in words; the validation and test texts have a tenth of this length each.
        alpha: parameter of the Dirichlet distribution; smaller values make the text more predictable.
        seed: seed of the chain and its texts.
    """

    knows_nats = True

    @bounded("data")
    def __init__(
        self,
        words: Annotated[int, AtLeast(2)] = 50,
        tokens: Annotated[int, AtLeast(100)] = 100_000,
        alpha: Annotated[float, Above(0)] = 0.1,
        seed: Annotated[int, AtLeast(0)] = 0,
    ) -> None:
        self.tokens, self.alpha, self.seed = tokens, alpha, seed
        self.words = [EOS, *(f"w{i}" for i in range(1, words))]
        rows = np.random.default_rng(seed).dirichlet(np.full(words, alpha), size=words)
        # A small uniform part in each row, so that every transition is possible and the chain can leave every state.
        self.transitions = 0.98 * rows + 0.02 / words
        self._index = {word: i for i, word in enumerate(self.words)}

    def fingerprint(self) -> dict[str, object]:
        return {"markov": [len(self.words), self.tokens, self.alpha, self.seed]}

    def pieces(self, split: str) -> Iterator[str]:
        number = SPLITS.index(split)
        rng = np.random.default_rng([self.seed, number + 1])
        total = self.tokens // (1 if split == "train" else 10)
        cumulative = [list(row) for row in np.cumsum(self.transitions, axis=1)]
        last = len(self.words) - 1
        state, tokens = 0, []
        for uniform in rng.random(total).tolist():
            state = min(bisect(cumulative[state], uniform), last)
            tokens.append("\n" if state == 0 else self.words[state])
        yield " ".join(tokens).replace(" \n", "\n").replace("\n ", "\n")

    def nats(self, words: Sequence[str]) -> np.ndarray | None:
        if not self._index.keys() >= set(words):  # rare words became <unk>
            return None
        states = np.array([self._index[word] for word in words])
        nats: np.ndarray = -np.log(self.transitions[states[:-1], states[1:]])
        return nats

    def entropy_rate(self) -> float:
        """The entropy of the stationary chain in nats per token. No model has a lower loss in the long run."""
        values, vectors = np.linalg.eig(self.transitions.T)
        stationary = np.real(vectors[:, np.argmax(np.real(values))])
        stationary /= stationary.sum()
        return float(-(stationary[:, None] * self.transitions * np.log(self.transitions)).sum())


def synthetic(
    batch_size: Count,
    window: Count,
    words: Annotated[int, AtLeast(2)] = 50,
    tokens: Annotated[int, AtLeast(100)] = 100_000,
    alpha: Annotated[float, Above(0)] = 0.1,
    source_seed: Annotated[int, AtLeast(0)] = 0,
    eval_window: Count = EVAL_WINDOW,
) -> Corpus:
    """A corpus from a Markov chain of known entropy, for tests: the loss of a correct model is never below the entropy.

    See `MarkovSource` and `Corpus` for the settings; `source_seed` is the source's `seed`.
    """
    return Corpus(MarkovSource(words, tokens, alpha, source_seed), batch_size, window, eval_window)
