"""Says how many tokens of a text are unknown, which is part of every perplexity, and warns if there are many."""

from __future__ import annotations

from collections.abc import Mapping

from lm.data.tokenisers import UNK
from lm.data.vocabulary import Vocab
from lm.data.vocabulary_choice import VocabularyChoice

MANY = 0.05
"""The share of unknown tokens above which a perplexity is compared with nothing."""


def counted(tokens: int, unknown: int | None) -> str:
    """`1,024 tokens, 43 unknown (4.2%)`. `unknown` is None for a score from a version that did not count them."""
    said = f"{tokens:,} token{'' if tokens == 1 else 's'}"
    if unknown is None:
        return said
    return f"{said}, {unknown:,} unknown" + (f" ({unknown / tokens:.1%})" if unknown and tokens else "")


def warning(vocab: Vocab, texts: Mapping[str, tuple[int, int]], choice: VocabularyChoice | None = None) -> str | None:
    """A warning about texts with many unknown tokens; None if there are none. `texts`: {name: (tokens, unknown)}.

    No warning if the training text itself contains the word `<unk>`: it is then a word of the benchmark. With the
    `choice` of the vocabulary, only remedies that can help are named.
    """
    many = [f"{unknown / tokens:.0%} of {name}" for name, (tokens, unknown) in texts.items() if unknown > MANY * tokens]
    if vocab.writes_unk or not many:
        return None
    return (
        f"warning: out of vocabulary, read as {UNK}: {', '.join(many)}. {UNK} is easy to predict, so this perplexity "
        f"compares with nothing of another vocabulary. To know more of it, train {', or '.join(_ways(vocab, choice))}"
    )


def _ways(vocab: Vocab, choice: VocabularyChoice | None) -> list[str]:
    ways = ["with data/tokeniser=bytes or bpe, to which no token is unknown"]
    if choice is not None and choice.given is not None:
        return ["without data.vocab_file and data.vocab_from", *ways]
    if vocab.tokeniser.brings_words:
        return ways
    fewer = choice is None or choice.min_count > 1
    smaller = choice is None or choice.vocab_size is not None
    settings = ["with a lower data.min_count"] * fewer + ["with a larger data.vocab_size"] * smaller
    return [*settings, "on more text", *ways]
