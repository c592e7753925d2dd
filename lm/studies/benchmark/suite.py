"""The benchmark: runs its sections, makes a text table and the ratios."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from lm.config.unknown_key import unknown_option
from lm.studies.benchmark import sections as measure
from lm.studies.benchmark.cells import OWN_RATIOS, PLAIN_RATIOS, cell_rows, cell_table, cells
from lm.studies.benchmark.dynamic import dynamic
from lm.studies.benchmark.growth import growth, growth_table
from lm.studies.benchmark.large_text import large_text, large_text_table
from lm.studies.benchmark.ranks import ranks
from lm.studies.benchmark.recipes import RECIPE_RATIOS, recipe_rows, recipe_table, recipes
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.timing import Timing, ratio
from lm.studies.benchmark.training import quiet
from lm.system.bounds import Count, bounded
from lm.system.errors import UserError
from lm.system.precision import best_precision
from lm.system.terminal import aligned

SECTIONS = (
    *("training", "tokens", "sampling", "scoring", "reading", "startup", "growth", "cells", "recipes", "dynamic"),
    "ranks",
)
ON_DEMAND = ("large_text",)
"""Sections that run only if they are named: this one writes 4 GB of temporary files."""
RATIOS = {
    "train_vs_plain": ("plain", "train", 2.2),
    "train_vs_plain_fp32": ("plain", "train_fp32", 1.2),
    "step_vs_floor": ("floor", "step", 0.85),
    "train_vs_step": ("step", "train", 0.97),
    "own_vs_onednn": ("step_onednn", "step_own", None),
    "train_token_vs_plain": ("plain_token", "train_token", 4.0),
    "train_free_vs_plain": ("plain_free", "train_free", None),
    "sample_1_vs_plain": ("sample_plain", "sample_1", 2.5),
    "sample_64_vs_plain": ("sample_plain", "sample_64", 30.0),
    "sample_1_fp32_vs_plain": ("sample_plain", "sample_1_fp32", None),
    "sample_64_fp32_vs_plain": ("sample_plain", "sample_64_fp32", None),
    "score_vs_one_by_one": ("score_one_by_one", "score", 4.0),
    "dynamic_vs_plain": ("plain_dynamic", "dynamic", None),
    "two_ranks_vs_one": ("one_process", "two_ranks", None),
    "encode_vs_plain": ("read_plain", "encode", 5.0),
    "imports_vs_lightning": ("import_lightning", "import_training", None),
    **RECIPE_RATIOS,
    **PLAIN_RATIOS,
    **OWN_RATIOS,
}
"""For each ratio: the slow timing, the fast timing, and the goal on two cores with bf16 instructions.

On a CPU without these instructions `train` runs in fp32.
"""


@bounded("")
def run(sections: list[str] | None, rounds: Count, windows: Count, words: Count, sizes: Sizes) -> dict[str, Any]:
    """Measure the named sections (None: all but `ON_DEMAND`). Medians are in seconds; a larger ratio is faster.

    May raise UserError.
    """
    sections = list(SECTIONS) if sections is None else sections
    known = [*SECTIONS, *ON_DEMAND]
    if unknown := [name for name in sections if name not in known]:
        raise UserError(unknown_option("sections", unknown[0], known, "section"))
    if not sections:
        raise UserError(f"sections is empty; choose from: {', '.join(known)}")
    quiet()
    timings: dict[str, Timing] = {}
    precision = best_precision("cpu")
    grown: list[dict[str, Any]] = []
    large: list[dict[str, Any]] = []
    trained: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if "training" in sections:
            timings |= measure.training(sizes, rounds, windows, precision, scratch)
        if "tokens" in sections:
            timings |= measure.tokens(sizes, rounds, precision, scratch)
        if "sampling" in sections:
            timings |= measure.sampling(sizes, rounds, words)
        if "scoring" in sections:
            timings |= measure.scoring(sizes, rounds)
        if "reading" in sections:
            timings |= measure.reading(rounds, scratch)
        if "startup" in sections:
            timings |= measure.startup(rounds)
        if "growth" in sections:
            grown = growth(sizes, precision, scratch)
        if "large_text" in sections:
            large = large_text(sizes, scratch)
        if "recipes" in sections:
            timings |= recipes(rounds, windows, precision)
        if "dynamic" in sections:
            timings |= dynamic(sizes, rounds)
        if "ranks" in sections:
            timings |= ranks(sizes, rounds, windows, precision)
        if "cells" in sections:  # the last, because it changes how this process keeps freed memory
            found = cells(sizes, rounds, windows, precision)
            timings |= found
            trained = cell_rows(found, sizes)
    return {
        "precision": precision,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "medians": {name: timing.median for name, timing in timings.items()},
        "ranges": {name: [min(timing.rounds), max(timing.rounds)] for name, timing in timings.items()},
        "ratios": {
            name: ratio(timings[slow], timings[fast])
            for name, (slow, fast, _) in RATIOS.items()
            if slow in timings and fast in timings
        },
        "growth": grown,
        "large_text": large,
        "cells": trained,
        "recipes": recipe_rows(timings),
    }


def table(result: dict[str, Any]) -> str:
    """Format the benchmark's results as a text table."""
    lines = [f"precision {result['precision']}, torch {result['torch']}, {result['threads']} threads"]
    # These have a table of their own.
    in_rows = {row["timing"] for row in result["cells"]}
    in_rows |= {timing for row in result["recipes"] for timing in row["timings"]}
    times = {name: (s, *result["ranges"][name]) for name, s in result["medians"].items() if name not in in_rows}
    if times:
        rows = [(name, *(f"{1000 * value:.3f} ms" for value in three)) for name, three in times.items()]
        lines += ["", *aligned([("", "median", "lowest", "highest"), *rows], "lrrr")]
    shown = {name: value for name, value in result["ratios"].items() if name not in OWN_RATIOS | RECIPE_RATIOS}
    if shown:
        goals = {name: f"{goal:.2f}" if goal else "" for name, (_, _, goal) in RATIOS.items()}
        ratios = [(name, f"{value:.2f}", goals[name]) for name, value in shown.items()]
        lines += ["", *aligned([("ratio (times as fast)", "here", "goal"), *ratios], "lrr")]
    if result["growth"]:
        lines += ["", growth_table(result["growth"])]
    if result["large_text"]:
        lines += ["", large_text_table(result["large_text"])]
    if result["cells"]:
        lines += ["", cell_table(result["cells"])]
    if result["recipes"]:
        lines += ["", recipe_table(result["recipes"])]
    return "\n".join(lines)
