"""Training speed of each recurrent cell and of the Transformer, beside the LSTM and torch's own GRU and RNN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from lm.models.cells import GRU, LSTM, QRNN, RNN, SLSTM, Cell, MinGRU, MinLSTM, Mogrifier
from lm.models.interfaces import LanguageModel
from lm.models.transformer_language_model import TransformerLanguageModel
from lm.studies.benchmark.plain import PlainTraining
from lm.studies.benchmark.processes import Apart
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.timing import Timing, interleaved, ratio
from lm.studies.benchmark.training import PlainRival, StepRival
from lm.system.terminal import aligned

CELLS: Mapping[str, Cell] = {
    "lstm": LSTM(),
    "gru": GRU(),
    "rnn": RNN(),
    "mogrifier": Mogrifier(),
    "qrnn": QRNN(),
    "min_gru": MinGRU(),
    "min_lstm": MinLSTM(),
    "slstm": SLSTM(),
}
"""The settings of each recurrent cell: its defaults, all without dropout."""
PLAIN: Mapping[str, Callable[..., nn.RNNBase]] = {"gru": nn.GRU, "rnn": nn.RNN}
"""The cells that have a plain loop here; the LSTM's is in section `training`."""
HEADS, LAYERS = 8, 3  # of the Transformer; layers for each recurrent layer

OWN_RATIOS = {
    f"{name}_vs_lstm": ("cell_lstm", f"cell_{name}", None) for name in (*CELLS, "transformer") if name != "lstm"
}
"""The ratios of the table's last column, as the suite's `RATIOS`: slow timing, fast timing, and no goal."""
PLAIN_RATIOS = {
    f"{name}_vs_plain{exact}": (f"plain_{name}", f"cell_{name}{exact}", None)
    for name in PLAIN
    for exact in ("", "_fp32")
}
"""How many times as fast as the plain loop, which is in fp32: in the training precision, and in fp32 too."""


def cells(sizes: Sizes, rounds: int, windows: int, precision: str) -> dict[str, Timing]:
    """Seconds per training window of each cell, in this project's bare step, and of the plain loops.

    The cells with a plain loop are timed in fp32 too. Our models share this process: a process each would need more
    than twice the memory, and none of them changes threads or allocator for another. A plain loop has a process of its
    own, because ours keeps freed memory.
    """
    with ExitStack() as stack:
        plain: dict[str, Callable[[], object]] = {
            f"plain_{name}": stack.enter_context(Apart(PlainRival, sizes, windows, PlainTraining, "cpu", recurrent))
            for name, recurrent in PLAIN.items()
        }
        ours = {f"cell_{name}": StepRival(sizes, windows, precision, model) for name, model in models(sizes).items()}
        if precision != "32-true":
            exact = {name: StepRival(sizes, windows, "32-true", sizes.model(CELLS[name])) for name in PLAIN}
            ours |= {f"cell_{name}_fp32": rival for name, rival in exact.items()}
        found = interleaved({**ours, **plain}, rounds)
    for name in PLAIN:
        found.setdefault(f"cell_{name}_fp32", found[f"cell_{name}"])
    return found


def models(sizes: Sizes) -> dict[str, LanguageModel]:
    """A model of each cell with these sizes, and the Transformer."""
    return {**{name: sizes.model(cell) for name, cell in CELLS.items()}, "transformer": transformer(sizes)}


def transformer(sizes: Sizes) -> TransformerLanguageModel:
    """A Transformer, untied and without dropout, of half the LSTM's units and three times its layers.

    At the baseline's sizes this has about the LSTM's number of weights: 512 units, 3 layers and 8 heads make 15.9
    million, the LSTM has 16.3. Units are rounded to whole heads, so at other sizes the numbers can differ more. It
    reads the last 128 positions, as `model=transformer` does.
    """
    step = 2 * HEADS
    units = max(1, round(sizes.hidden_size / 2 / step)) * step
    numbers = (sizes.vocab_size, sizes.embedding_size, units, LAYERS * sizes.num_layers)
    return TransformerLanguageModel(*numbers, dropout=0.0, tied=False, head=sizes.head, heads=HEADS)


def weights(sizes: Sizes) -> dict[str, int]:
    """The number of weights of each model; those of the plain loops have as many."""
    with torch.device("meta"):  # they are counted, not made
        return {name: model.parameter_count for name, model in models(sizes).items()}


def cell_rows(found: Mapping[str, Timing], sizes: Sizes) -> list[dict[str, Any]]:
    """One row per timing: weights, median and range of the seconds per window, tokens per second, ratio to the LSTM.

    A ratio above 1 is faster than the LSTM of the same run.
    """
    counts, tokens, rows = weights(sizes), sizes.batch_size * sizes.window, []
    for timing, taken in found.items():
        kind, _, name = timing.partition("_")
        cell = name.removesuffix("_fp32")
        rows.append(
            {
                "cell": f"{cell}, plain loop" if kind == "plain" else name.replace("_fp32", ", fp32"),
                "timing": timing,
                "weights": counts[cell],
                "seconds": taken.median,
                "range": [min(taken.rounds), max(taken.rounds)],
                "tokens_per_second": tokens / taken.median,
                "times_lstm": ratio(found["cell_lstm"], taken),
            }
        )
    return rows


def cell_table(rows: list[dict[str, Any]]) -> str:
    """Format the rows of `cell_rows` as a text table."""
    lines = [("cell", "weights", "ms a window", "lowest", "highest", "tokens/s", "times as fast as lstm")]
    for row in rows:
        times = [f"{1000 * seconds:.1f}" for seconds in (row["seconds"], *row["range"])]
        speed, vs_lstm = f"{row['tokens_per_second']:,.0f}", f"{row['times_lstm']:.2f}"
        lines.append((row["cell"], f"{row['weights']:,}", times[0], times[1], times[2], speed, vs_lstm))
    return "\n".join(aligned(lines, "lrrrrrr"))
