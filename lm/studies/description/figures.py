"""Counts of a corpus: tokens, words, types, unknown words, line lengths, repeated lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lm.data.corpus import Corpus
from lm.data.documents import starts_of
from lm.data.plain_text import bytes_of
from lm.data.repeated_lines import Repeated, long_lines
from lm.data.source import SPLITS, end_last_line
from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.system.terminal import bar

SHOWN = 20  # unknown words
EXAMPLES = 5  # of repeated lines


@dataclass(frozen=True)
class Lengths:
    """The lengths of a split's lines in tokens, `<eos>` included: mean, quantiles, and {length: how many lines}."""

    mean: float
    low: float  # the 5th percentile
    median: float
    high: float  # the 95th percentile
    longest: int
    counts: dict[int, int]


@dataclass(frozen=True)
class SplitFigures:
    """Counts of a split. `words` are separated by white space, and each line end is one, as in perplexity per word."""

    tokens: int
    words: int
    characters: int
    bytes: int
    lines: int
    documents: int  # 0 if the text has none
    types: int
    unknown: int
    unknown_types: int
    lengths: Lengths
    frequent_unknown: list[tuple[str, int]]


@dataclass(frozen=True)
class Figures:
    """All figures of a corpus.

    `curve` has {vocabulary size: {split: share of unknown tokens}}; it is empty if the tokeniser brings the vocabulary.
    """

    vocabulary: int
    unit: str  # what a token is called
    splits: dict[str, SplitFigures]
    curve: dict[int, dict[str, float]]
    repeated: dict[str, Repeated]
    repeated_lines: dict[str, list[str]]  # examples

    @property
    def longest_shown(self) -> float:
        """The length up to which a picture shows lines: few are longer."""
        return 1.5 * max(split.lengths.high for split in self.splits.values())


def figures(corpus: Corpus) -> Figures:
    """Read the texts of a corpus and count. Memory is bounded by the types and the held-out texts."""
    vocab, splits, types = corpus.vocab, {}, {}
    held_out: dict[str, set[str]] = {split: set() for split in SPLITS[1:]}
    for split in reversed(SPLITS):  # the training text last: its lines are compared with those of the others
        splits[split], types[split] = _count(corpus, split, held_out)
    examples = {split: sorted(lines & held_out["met"], key=len)[-EXAMPLES:] for split, lines in held_out.items()}
    return Figures(
        vocabulary=len(vocab),
        unit=vocab.tokeniser.unit,
        splits={split: splits[split] for split in SPLITS},
        curve={} if vocab.tokeniser.brings_words else unknown_by_size(types),
        repeated=corpus.encoded.repeated,
        repeated_lines={split: examples[split] for split in SPLITS[1:]},
    )


def _count(corpus: Corpus, split: str, held_out: dict[str, set[str]]) -> tuple[SplitFigures, Counter[str]]:
    vocab: Vocab = corpus.vocab
    types: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    size, lines = corpus.encoded.splits[split].size, 0
    with bar(f"reading the {split} text", corpus.source.size(split), "byte") as progress:
        for text in end_last_line(corpus.source.pieces(split)):
            rows = text.split("\n")[:-1]
            types.update(vocab.split(text))
            lengths.update(len(vocab.split(row)) + 1 for row in rows)
            lines += len(rows)
            _compare(split, rows, held_out)
            progress.update(bytes_of(text))
    unknown = Counter({word: count for word, count in types.items() if word not in vocab})
    found = SplitFigures(
        tokens=types.total(),
        words=size.words,
        characters=size.characters,
        bytes=size.bytes,
        lines=lines,
        documents=len(starts_of(corpus.ids[split])),
        types=len(types),
        unknown=unknown.total() + types[UNK],
        unknown_types=len(unknown),
        lengths=_lengths(lengths),
        frequent_unknown=unknown.most_common(SHOWN),
    )
    return found, types


def _compare(split: str, rows: list[str], held_out: dict[str, set[str]]) -> None:
    """Keep the long lines of a held-out text; in `met`, those that the training text has too."""
    if split in held_out:
        held_out[split].update(long_lines(rows))
        return
    met = held_out.setdefault("met", set())
    for kept in SPLITS[1:]:
        met |= held_out[kept].intersection(rows)


def _lengths(counts: Counter[int]) -> Lengths:
    if not counts:
        return Lengths(0.0, 0.0, 0.0, 0.0, 0, {})
    lengths, lines = np.array(sorted(counts)), np.array([counts[length] for length in sorted(counts)])
    reached = np.cumsum(lines) / lines.sum()
    low, median, high = (float(lengths[int(np.searchsorted(reached, share))]) for share in (0.05, 0.5, 0.95))
    mean = float((lengths * lines).sum() / lines.sum())
    return Lengths(mean, low, median, high, int(lengths[-1]), dict(sorted(counts.items())))


def unknown_by_size(types: Mapping[str, Counter[str]]) -> dict[int, dict[str, float]]:
    """The share of unknown tokens in each split, for vocabularies of the most frequent words of the training text.

    `types` has {split: {word: count}}. Sizes are 100, 200, 500, 1,000 and so on, up to all words; they include `<eos>`
    and `<unk>`. A word that the text itself writes as `<unk>` is unknown at any size.
    """
    ranked = [word for word, _ in types["train"].most_common() if word not in (EOS, UNK)]
    steps = [step * 10**power for power in range(2, 9) for step in (1, 2, 5)]
    sizes = [size for size in steps if size < len(ranked) + 2] + [len(ranked) + 2]
    curve: dict[int, dict[str, float]] = {size: {} for size in sizes}
    for split in SPLITS:
        counts = types[split]
        known = np.cumsum([0, *(counts[word] for word in ranked)]) + counts[EOS]
        for size in sizes:
            curve[size][split] = float(1 - known[size - 2] / max(1, counts.total()))
    return curve
