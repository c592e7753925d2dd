"""Words and prompts in a model's vocabulary, with a sentence for those that are not in it."""

from __future__ import annotations

from lm.config.unknown_key import did_you_mean
from lm.data.vocabulary import Vocab
from lm.system.errors import UserError


def prompt_ids(vocab: Vocab, text: str) -> list[int]:
    """The ids of a prompt. Raises UserError for a word that the vocabulary lacks."""
    return [known_word(vocab, word) for word in vocab.split(text.rstrip("\n"))]


def known_word(vocab: Vocab, word: str) -> int:
    """The id of a word. Raises UserError if it is out of vocabulary, or more than one token of this model."""
    if word in vocab:
        return vocab.id(word)
    # A byte-pair vocabulary has most words as they stand within a line, with the space before them.
    tokens = min(vocab.split(word), vocab.split(f" {word}"), key=len)
    if len(tokens) == 1 and tokens[0] in vocab:
        return vocab.id(tokens[0])
    unit = vocab.tokeniser.unit
    if len(tokens) > 1:
        raise UserError(f"{word!r} is not one {unit} of this model but {len(tokens)}: {' '.join(tokens)}")
    raise UserError(
        f"{word!r} is not among the {len(vocab):,} {unit}s of this model. {_near(word, vocab)}"
        + ("Write <unk> for an unknown word" if unit == "word" else "Leave it out")
    )


def _near(word: str, vocab: Vocab) -> str:
    hint = did_you_mean(word, vocab.words)
    return f"{hint} " if hint.startswith("Did") else ""
