"""Measures a corpus of 100 MB and one of 1 GB: encoding it, starting on it once it is encoded, training on it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lm.data.encoding import encode_cached
from lm.data.sources.text_files import TextFiles
from lm.data.streams import Windows
from lm.studies.benchmark.processes import Apart
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.step import BareStep
from lm.studies.benchmark.timing import seconds
from lm.studies.benchmark.training import WARM_UP, timed_windows
from lm.system import memory
from lm.system.memory import keep_freed_memory
from lm.system.terminal import aligned, bar

BYTES = (10**8, 10**9)
FORMS = 1_000_000
CONSONANTS, VOWELS = "b c d f g h j k l m n p r s t v w z st tr", "a e i o u ai ou"
SYLLABLES = [first + second for first in CONSONANTS.split() for second in VOWELS.split()]
LINE = 25  # words
AT_ONCE = 2_500_000  # words that are drawn and written at a time
WINDOWS = 10
CUTOFFS = (
    2000,
    20_000,
    200_000,
)  # of the adaptive softmax; a full one of a million words would be all that is measured


def large_text(sizes: Sizes, scratch: Path) -> list[dict[str, Any]]:
    """One row per text: its tokens and forms, seconds to encode it and to start on it, a window's, and memory."""
    rows = []
    for size in BYTES:
        file = scratch / f"{size}.txt"
        write_text(file, size)
        print(f"large text: encoding {size / 1e6:,.0f} MB, then training on it ...", file=sys.stderr)
        with Apart(LargeTextRival, file, scratch / "cache", sizes) as rival:
            with Watch(rival.pid) as watch:
                encoding = rival()
            tokens, forms, start, window = (rival() for _ in range(4))
        rows.append({"bytes": file.stat().st_size, "tokens": int(tokens), "forms": int(forms), "encoding": encoding})
        rows[-1] |= {"start": start, "window": window, "memory": watch.peak}
    return rows


def write_text(file: Path, size: int) -> None:
    """Write at least `size` bytes of random text of a million forms; the frequency of form k is as 1 / (k + 2.7)."""
    words = np.array([form(i) for i in range(FORMS)], dtype=object)
    cumulative = np.cumsum(1 / (np.arange(FORMS) + 2.7))
    generator = np.random.default_rng(0)
    with file.open("w", encoding="ascii") as out, bar(f"writing {file.name}", size, "byte") as progress:
        while (written := out.tell()) < size:
            drawn = np.searchsorted(cumulative, generator.random(AT_ONCE) * cumulative[-1])
            rows = words[drawn].reshape(-1, LINE).tolist()
            out.write("".join(" ".join(row) + "\n" for row in rows))
            progress.update(out.tell() - written)


def form(number: int) -> str:
    """A word of syllables; each number has its own, and small numbers have short ones."""
    word, rest = "", number + 1
    while rest:
        rest, last = divmod(rest - 1, len(SYLLABLES))
        word = SYLLABLES[last] + word
    return word


class LargeTextRival:
    """Encodes a text into a cache. Its calls return, in turn, what `_figures` yields."""

    def __init__(self, file: Path, cache: Path, sizes: Sizes) -> None:
        self._steps = self._figures(TextFiles(file), cache, sizes)

    def __call__(self) -> float:
        return next(self._steps)

    def _figures(self, files: TextFiles, cache: Path, sizes: Sizes) -> Iterator[float]:
        """Seconds of encoding, tokens of the training text, its forms, seconds of a start, seconds of a window."""
        yield seconds(lambda: encode_cached(files, cache=cache))
        found = encode_cached(files, cache=cache)
        yield found.splits["train"].tokens
        yield len(found.vocab)
        yield seconds(lambda: encode_cached(files, cache=cache))
        keep_freed_memory()
        model = replace(sizes, vocab_size=FORMS + 2, cutoffs=CUTOFFS).model()  # the same for both texts
        training, state = BareStep(model), model.initial_state(sizes.batch_size)
        windows = Windows(found.ids["train"], sizes.batch_size, sizes.window)

        def step(number: int) -> None:
            nonlocal state
            state = training.update([windows[number]], state)

        yield timed_windows(list(range(WARM_UP + WINDOWS)), step)


class Watch:
    """Looks at the memory of a process and its children while the code inside the context runs; `peak` in bytes."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(pid,), daemon=True)

    def _look(self, pid: int) -> None:
        while not self._over.wait(0.05):
            self.peak = max(self.peak, memory.resident_of_all(pid))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def large_text_table(rows: list[dict[str, Any]]) -> str:
    """Format the rows of `large_text` as a text table."""
    cells = [("large text", "tokens", "forms", "encoding", "tokens/s", "memory", "start", "a window")]
    for row in rows:
        cells.append(
            (
                f"{row['bytes'] / 1e6:,.0f} MB",
                f"{row['tokens']:,}",
                f"{row['forms']:,}",
                f"{row['encoding']:.1f} s",
                f"{row['tokens'] / row['encoding']:,.0f}",
                f"{row['memory'] / 1e6:,.0f} MB",
                f"{row['start']:.2f} s",
                f"{row['window']:.2f} s",
            )
        )
    return "\n".join(aligned(cells, "lrrrrrrr"))
