"""Measures how similar the embeddings of two runs are."""

from __future__ import annotations

from dataclasses import dataclass

from lm.studies.comparison import vectors
from lm.studies.comparison.differences import different_text, pairs_of
from lm.studies.comparison.groups import Group
from lm.studies.comparison.measuring import Known, Refusal, Refused
from lm.studies.comparison.settings import Settings
from lm.studies.comparison.texts import vocab_key


@dataclass(frozen=True)
class RunsAgreement:
    """How similar the embeddings of two runs are, measured over a number of frequent words (`words`)."""

    runs: tuple[str, str]
    same_group: bool
    trained: vectors.Agreement
    initial: vectors.Agreement | None  # None where one of them did not keep its initial embedding
    neighbours_by_chance: float  # the share for two unrelated embeddings
    neighbours: int  # of each word
    words: int


def agreement(
    groups: list[Group], known: dict[str, Known], refused: list[Refused], settings: Settings
) -> list[RunsAgreement]:
    """Compare the embeddings of two seeds within each group, and of the first runs of each pair of groups."""
    pairs = [(group.runs[0], group.runs[1]) for group in groups if len(group.runs) > 1]
    pairs += [(a.runs[0], b.runs[0]) for a, b in pairs_of(groups)]
    found = []
    for a, b in pairs:
        x, y = known[a.name], known[b.name]
        refusal = Refusal(refused, a.name, b.name)
        if x.embedding is None or y.embedding is None or x.text is None or y.text is None:
            continue
        if vocab_key(x.text.vocab) != vocab_key(y.text.vocab):
            refusal.note("agreement of the embeddings", different_text([x, y]) or "")
            continue
        frequent = x.text.frequent(settings.frequent)
        count = min(settings.neighbours, len(frequent) - 1)
        at_start = None
        if x.initial is not None and y.initial is not None:
            at_start = vectors.agreement(x.initial, y.initial, frequent, count)
        found.append(
            RunsAgreement(
                runs=(a.name, b.name),
                same_group=any(a in group.runs and b in group.runs for group in groups),
                trained=vectors.agreement(x.embedding, y.embedding, frequent, count),
                initial=at_start,
                neighbours_by_chance=count / (len(frequent) - 1),
                neighbours=count,
                words=len(frequent),
            )
        )
    return found
