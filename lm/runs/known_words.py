"""Words and prompts in a model's vocabulary, with a sentence for those that are not in it."""

from __future__ import annotations

from collections.abc import Sequence

from lm.config.unknown_key import near
from lm.data.vocabulary import Vocab
from lm.system.errors import UserError

SHOWN = 20
"""Unknown words that a message lists."""
HINTED = 3
"""Unknown words that are compared with the whole vocabulary, which takes up to seconds each."""


def unknown_words(vocab: Vocab, words: Sequence[str]) -> list[str]:
    """The words that the vocabulary lacks, each once."""
    return list(dict.fromkeys(word for word in words if word not in vocab))


def beyond_shown(words: Sequence[str]) -> str:
    """How many of these words a message does not list, as its end."""
    return f" and {len(words) - SHOWN:,} others" if len(words) > SHOWN else ""


def prompt_ids(vocab: Vocab, text: str) -> list[int]:
    """The ids of a prompt. Raises UserError for words that the vocabulary lacks."""
    words = vocab.split(text.rstrip("\n"))
    if len(unknown := unknown_words(vocab, words)) > 1:
        raise _unknown(vocab, unknown)
    return [known_word(vocab, word) for word in words]


def known_word(vocab: Vocab, word: str) -> int:
    """The id of a word. Raises UserError if it is out of vocabulary, or more than one token of this model."""
    if word in vocab:
        return vocab.id(word)
    # A byte-pair vocabulary has most words as they stand within a line, with the space before them.
    tokens = min(vocab.split(word), vocab.split(f" {word}"), key=len)
    if len(tokens) == 1 and tokens[0] in vocab:
        return vocab.id(tokens[0])
    if len(tokens) > 1:
        unit = vocab.tokeniser.unit
        raise UserError(f"{word!r} is not one {unit} of this model but {len(tokens)}: {' '.join(tokens)}")
    raise _unknown(vocab, [word])


def _unknown(vocab: Vocab, words: Sequence[str]) -> UserError:
    unit = vocab.tokeniser.unit
    said = f"{', '.join(map(repr, words[:SHOWN]))}{beyond_shown(words)} {'is' if len(words) == 1 else 'are'}"
    said += f" not among the {len(vocab):,} {unit}s"
    nearest = dict.fromkeys(found for word in words[:HINTED] if (found := near(word, vocab.words)))
    hint = f" Did you mean {', '.join(nearest)}?" if nearest else ""
    remedy = "Write <unk> for an unknown word" if unit == "word" else "Leave it out"
    return UserError(f"{said} of this model.{hint} {remedy}")
