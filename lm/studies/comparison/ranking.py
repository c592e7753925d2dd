"""Ranks runs of different tokenisers by bits per byte of the test text, which compare whatever its tokens are."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from lm.data.tokenisers import UNK
from lm.data.vocabulary import Vocab
from lm.studies.comparison.measuring import Known
from lm.system.errors import UserError


@dataclass(frozen=True)
class Ranked:
    """A run and its figures of the test text (None if not known). If it is not `ranked`, there is a `reason`."""

    run: str
    tokeniser: str | None
    bits_per_byte: float | None
    bits_per_character: float | None
    perplexity_per_word: float | None
    perplexity: float | None  # per token
    ranked: bool
    reason: str | None


class _Size(NamedTuple):
    words: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.words:,} words and {self.bytes:,} bytes"


def ranking(known: Iterable[Known]) -> list[Ranked]:
    """The runs in order, lowest bits per byte first, then those that are not ranked.

    Only runs of one test text are ranked: that of most runs. Empty if all runs have the same tokeniser.
    """
    ones = list(known)
    if len({json.dumps(one.run.tokeniser, sort_keys=True) for one in ones if one.run.tokeniser}) < 2:
        return []
    flaws = [_flaw(one) for one in ones]
    sizes = Counter(_size(one.run.result["test"]) for one, flaw in zip(ones, flaws, strict=True) if flaw is None)
    shared = max(sizes, key=sizes.__getitem__, default=None)
    rows = [_row(one, flaw or _other_text(one, shared)) for one, flaw in zip(ones, flaws, strict=True)]
    return sorted(rows, key=lambda row: math.inf if row.bits_per_byte is None or row.reason else row.bits_per_byte)


def _row(one: Known, reason: str | None) -> Ranked:
    names = ("bits_per_byte", "bits_per_character", "perplexity_per_word", "perplexity")
    figures: dict[str, float | None] = {name: one.run.result["test"].get(name) for name in names}
    return Ranked(one.run.name, one.run.tokeniser_name, **figures, ranked=reason is None, reason=reason)


def _flaw(one: Known) -> str | None:
    """The reason why a run's bits per byte compare with those of no other tokeniser; None if they compare."""
    test = one.run.result["test"]
    if not test.get("tokens"):
        return "it has no test score"
    if "bits_per_byte" not in test:
        return "its result.json has no bits per byte: it is of an older version"
    if test["words"] is None:
        return "its test text was not scored whole"
    if not test["bits_per_byte"]:
        return "its bits per byte are not a number above 0"
    if loss := _loss(one):
        return f"its tokeniser reads the text {loss}, which is easier to predict"
    if unknown := test["unknown"]:
        written = one.vocab is not None and one.vocab.writes_unk
        writes = "; the text itself writes it, and as bytes it is five tokens to predict" if written else ""
        return f"{unknown:,} of {test['tokens']:,} tokens of its test text are {UNK}, which is cheap to predict{writes}"
    return None


def _loss(one: Known) -> str | None:
    """What the run's tokeniser does to the text that leaves less to predict; a tokenizer.json may do it by itself."""
    settings = one.run.tokeniser
    if settings.get("lowercase") or _reads_alike(one.vocab, "A", "a"):
        return "in lower case"
    if settings.get("normalise") == "NFKC" or _reads_alike(one.vocab, "\ufb01", "fi"):  # a ligature
        return "in normal form NFKC"
    if one.vocab is not None and one.vocab.tokeniser.option == "file" and not _given_back(one.vocab):
        return "without some of its letters"
    return None


def _reads_alike(vocab: Vocab | None, a: str, b: str) -> bool:
    if vocab is None:
        return False
    with suppress(UserError):  # a package is not installed
        tokens = vocab.split(a)
        return bool(tokens) and UNK not in tokens and tokens == vocab.split(b)
    return False


def _given_back(vocab: Vocab) -> bool:
    """Whether a text's letters and digits can be read in its tokens."""
    letters = "the quick brown fox jumps over the lazy dog 0123456789"
    with suppress(UserError):  # a package is not installed
        there = "".join(vocab.decode(vocab.encode(letters).tolist()).replace("#", "").split())
        return UNK in vocab.split(letters) or there == "".join(letters.split())
    return True


def _size(test: dict[str, Any]) -> _Size:
    """The size of the text that a score is over."""
    return _Size(test["words"], round(test["nats"] / math.log(2) / test["bits_per_byte"]))


def _other_text(one: Known, shared: _Size | None) -> str | None:
    size = _size(one.run.result["test"])
    return None if size == shared else f"its test text is another: {size}, not {shared} as of the runs ranked"
