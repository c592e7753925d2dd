"""Random text for reading and training; its size and word frequencies are like those of the Penn Treebank."""

from __future__ import annotations

import numpy as np

TEXT_TOKENS = 930_000  # about the Penn Treebank's training text
LINE = 21  # words


def zipf_ids(tokens: int, vocab_size: int) -> np.ndarray:
    """Random word ids [tokens] that follow Zipf's law: the share of id k is proportional to 1 / (k + 1)."""
    weights = 1 / np.arange(1, vocab_size + 1)
    return np.random.default_rng(0).choice(vocab_size, tokens, p=weights / weights.sum())


def zipf_text(tokens: int, vocab_size: int = 10_000) -> str:
    """Random lines of the words `w0`, `w1` and so on, `tokens` tokens in all; each line end counts as a token."""
    words = [f"w{i}" for i in zipf_ids(tokens, vocab_size).tolist()]
    return "".join(" ".join(words[at : at + LINE]) + "\n" for at in range(0, tokens * LINE // (LINE + 1), LINE))
