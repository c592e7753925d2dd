"""The figures of a file of sentences: perplexities by four conventions, and the rows of its table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lm.evaluation.score import perplexity
from lm.evaluation.sentences import Sentence

PER_NAT: dict[str, float] = {"nats": 1.0, "bits": 1 / math.log(2), "log10": 1 / math.log(10)}
HEADER = "sentence\tposition\tword\ttokens\tknown\tsurprisal\tentropy"

CONVENTIONS = {"all": (True, True), "known": (False, True), "all_without_end": (True, False)}
CONVENTIONS |= {"known_without_end": (False, False)}
"""For each perplexity: whether unknown words count, and whether the sentences' ends do."""


@dataclass
class SentenceFigures:
    """Sums over sentences. `nats` and `rows` are by whether the row's word is known, and whether it is an end."""

    sentences: int = 0
    tokens: int = 0
    nats: dict[tuple[bool, bool], float] = field(default_factory=dict)
    rows: dict[tuple[bool, bool], int] = field(default_factory=dict)

    def add(self, one: Sentence) -> None:
        self.sentences += 1
        self.tokens += sum(one.tokens)
        last = len(one.words) - 1
        for place, (known, nats) in enumerate(zip(one.known, one.nats, strict=True)):
            kind = known, place == last
            self.nats[kind] = self.nats.get(kind, 0.0) + nats
            self.rows[kind] = self.rows.get(kind, 0) + 1

    @property
    def unknown(self) -> int:
        """How many words the model does not know."""
        return self.rows.get((False, False), 0)

    def perplexity(self, unknown: bool, ends: bool) -> float | None:
        """exp(nats / rows), over words and ends as asked; None if there are none."""
        kinds = [(known, end) for known, end in self.rows if (known or unknown) and (ends or not end)]
        rows = sum(self.rows[kind] for kind in kinds)
        return perplexity(sum(self.nats[kind] for kind in kinds) / rows) if rows else None

    def as_dict(self) -> dict[str, Any]:
        rows = sum(self.rows.values())
        found: dict[str, Any] = {"sentences": self.sentences, "words": rows - self.sentences, "tokens": self.tokens}
        found |= {"unknown": self.unknown, "nats": sum(self.nats.values())}
        return found | {"perplexities": {name: self.perplexity(*which) for name, which in CONVENTIONS.items()}}


def table_rows(number: int, one: Sentence, unit: str) -> Iterator[str]:
    """The rows of a sentence below `HEADER`; `number` is its line in the file."""
    per = PER_NAT[unit]
    values = zip(one.words, one.tokens, one.known, one.nats, one.entropy, strict=True)
    for position, (word, tokens, known, nats, entropy) in enumerate(values, 1):
        yield f"{number}\t{position}\t{word}\t{tokens}\t{known:d}\t{nats * per:.6f}\t{entropy * per:.6f}"
