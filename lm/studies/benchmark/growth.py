"""Measures how time and memory grow with the sizes of the model, the window, the vocabulary and the text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from lm.data.encoding import encode
from lm.data.sources.text_files import TextFiles
from lm.studies.benchmark.processes import Apart
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.text import TEXT_TOKENS, zipf_text
from lm.studies.benchmark.timing import seconds
from lm.studies.benchmark.training import StepRival
from lm.system.terminal import aligned

WINDOWS = 1  # counted windows per call
CALLS = 3  # per training rival


def growth(sizes: Sizes, precision: str, scratch: Path) -> list[dict[str, Any]]:
    """One row per size, then one per text length: seconds per window, tokens per second, peak memory."""
    rows = []
    for what, one, windows in variants(sizes):
        print(f"growth: {what} ...", file=sys.stderr)
        with Apart(StepRival, one, windows, precision) as rival:
            seconds, held = [rival() for _ in range(CALLS)], rival.peak_memory()
        rows.append(row_of(what, seconds, one.batch_size * one.window, held) | {"sizes": asdict(one)})
    for times in (1, 10, 100):
        print(f"growth: reading the text {times} times ...", file=sys.stderr)
        with Apart(ReadingRival, times, scratch) as rival:
            rows.append(row_of(f"reading, text x {times}", [rival()], times * TEXT_TOKENS, rival.peak_memory()))
    return rows


def row_of(what: str, seconds: list[float], tokens: int, held: int) -> dict[str, Any]:
    """One row: the median and range of the `seconds` that several calls took for `tokens` tokens."""
    middle, ends = median(seconds), [min(seconds), max(seconds)]
    return {"what": what, "seconds": middle, "range": ends, "tokens_per_second": tokens / middle, "bytes": held}


def variants(sizes: Sizes) -> Iterator[tuple[str, Sizes, int]]:
    """Yield the name, sizes and number of windows of each variant; each variant changes one thing."""
    yield "the baseline", sizes, WINDOWS
    yield "2 x 650", replace(sizes, embedding_size=650, hidden_size=650, num_layers=2), WINDOWS
    yield "3 x 1150", replace(sizes, embedding_size=400, hidden_size=1150, num_layers=3), WINDOWS
    for window in (60, 120, 240):
        yield f"window {window}", replace(sizes, window=window), WINDOWS
    for vocab in (30_000, 100_000, 250_000):
        yield f"{vocab:,} words", replace(sizes, vocab_size=vocab), WINDOWS
        adaptive = replace(sizes, vocab_size=vocab, cutoffs=(2000, 20_000))
        yield f"{vocab:,} words, adaptive", adaptive, WINDOWS
    for windows in (10, 40):
        yield f"a stream of {windows} windows", sizes, windows


class ReadingRival:
    """Reads a text of the Penn Treebank's length, repeated `times` times. A call returns the seconds that it took."""

    def __init__(self, times: int, scratch: Path) -> None:
        folder = scratch / f"text{times}"
        folder.mkdir()
        train, rest = folder / "train.txt", folder / "rest.txt"
        text = zipf_text(TEXT_TOKENS)
        with train.open("w", encoding="utf-8") as file:
            for _ in range(times):
                file.write(text)
        rest.write_text("a few words\n", encoding="utf-8")
        self.files = TextFiles(train, rest, rest)

    def __call__(self) -> float:
        return seconds(lambda: encode(self.files))


def growth_table(rows: list[dict[str, Any]]) -> str:
    """Format the rows of `growth` as a text table."""
    cells = [("how it grows", "seconds", "lowest", "highest", "tokens/s", "memory")]
    for row in rows:
        middle, low, high = (f"{seconds:.3f}" for seconds in (row["seconds"], *row["range"]))
        speed, held = f"{row['tokens_per_second']:,.0f}", f"{row['bytes'] / 2**20:,.0f} MB"
        cells.append((row["what"], middle, low, high, speed, held))
    return "\n".join(aligned(cells, "lrrrrr"))
