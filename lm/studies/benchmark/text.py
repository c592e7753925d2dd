"""Random text to read and train on, with the Penn Treebank's size and skew of word frequencies."""

from __future__ import annotations

import numpy as np

TEXT_TOKENS = 930_000  # about the Penn Treebank's training text
LINE = 21  # words


def zipf_ids(tokens: int, vocab_size: int) -> np.ndarray:
    """Ids [tokens] with frequencies by Zipf's law: the share of id k is proportional to 1 / (k + 1)."""
    weights = 1 / np.arange(1, vocab_size + 1)
    return np.random.default_rng(0).choice(vocab_size, tokens, p=weights / weights.sum())


def zipf_text(tokens: int, vocab_size: int = 10_000) -> str:
    """Lines of words `w0`, `w1`, ...; each line end counts as a token."""
    words = [f"w{i}" for i in zipf_ids(tokens, vocab_size).tolist()]
    return "".join(" ".join(words[at : at + LINE]) + "\n" for at in range(0, tokens * LINE // (LINE + 1), LINE))
