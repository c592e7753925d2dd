"""Presents the measurements as text tables, and as the blocks of a report."""

from __future__ import annotations

from lm.studies.benchmark.sizes import Sizes
from lm.studies.page import Block, Heading, Picture, Statements, Table, Text
from lm.studies.truncation import plots
from lm.studies.truncation.figures import Figures
from lm.studies.truncation.findings import megabytes, milliseconds, not_shown, percent, sentences
from lm.system.terminal import aligned

TITLE = "What does detaching the state change?"


def points_table(found: Figures) -> Table:
    """A table with a row for each way of training: windows, tokens, memory, time."""
    points = dict.fromkeys(found.by_windows + found.by_length)
    return Table(
        ("tbptt.windows", "window", "tokens", "peak memory", "an update", "a window", "lowest", "highest"),
        [
            (
                str(p.windows), str(p.length), str(p.tokens), megabytes(p.bytes), milliseconds(p.seconds),
                milliseconds(p.per_window), milliseconds(p.low / p.windows), milliseconds(p.high / p.windows),
            )
            for p in points
        ],
    )  # fmt: skip


def reach_table(found: Figures) -> Table:
    """A table of each model's gradient norms k steps back, as shares of the norm at k = 0."""
    followed = len(next(iter(found.models.values())).reach.mean) - 1
    steps = [k for k in (1, 2, 5, 10, 20, 30, 60, 120, 240, 480) if k <= followed]
    rows = [
        (name, *(percent(model.reach.share_at(k)) for k in steps), percent(model.reach.share_cut(found.window)))
        for name, model in found.models.items()
    ]
    return Table(("model", *(f"k = {k}" for k in steps), f"cut off at {found.window}"), rows)


def stream_table(found: Figures) -> Table:
    return Table(
        ("windows in the stream", "peak memory"), [(f"{s.windows:,}", megabytes(s.bytes)) for s in found.streams]
    )


def text(found: Figures) -> str:
    """All results as text for standard output."""
    tables = [points_table(found), stream_table(found), reach_table(found)]
    said = [f"- {sentence}" for sentence in sentences(found)]
    unshown = [f"- {sentence}" for sentence in not_shown(found)]
    return "\n\n".join(
        [
            *map(_columns, tables),
            "\n".join(said),
            "What the classic exercise did not show:",
            "\n".join(unshown),
        ]
    )


def blocks(found: Figures, graphs: dict[str, bytes]) -> list[Block]:
    """The blocks of the report. `graphs` holds the drawings of autograd graphs by name."""
    return [
        Text(
            "Truncated back-propagation through time carries the state from window to window and detaches it before "
            f"each. Memory and time are those of a model with {_of(found.sizes)}, measured on {found.device}, threads: "
            f"{found.threads}, torch {found.torch}, float32."
        ),
        Statements(sentences(found)),
        Heading("What the classic exercise did not show"),
        Statements(not_shown(found)),
        Heading("The error without detach"),
        _attempts(found),
        Heading("The recorded graph"),
        *_graphs(graphs),
        Heading("Memory"),
        *_shown("memory.png", plots.memory(found), "Peak above the idle model, its gradients and Adam's moments."),
        points_table(found),
        stream_table(found),
        Text(
            "Each measurement is a separate process. On a CPU memory is resident memory, with freed tensors returned "
            "to the system at once (a process usually keeps some memory); on a GPU the allocator's. 'Lowest' and "
            "'highest' are per window, over the processes that time it."
        ),
        Heading("Time"),
        *_shown("seconds.png", plots.seconds(found), "Medians of processes; bars from the fastest to the slowest."),
        Heading("How far gradients reach"),
        *_shown(
            "reach.png", plots.reach(found),
            "Mean over places and streams; the band holds the middle 80%; a few places can lift the mean above it. "
            "Weights and states in float64, no dropout. k = 0 is the hidden vector from which the loss is computed.",
        ),
        reach_table(found),
        Text(
            f"'Cut off': the share of the summed norms that a detach before every {found.window} tokens drops, "
            "averaged over the window's tokens, of which the first reaches one state back and the last a whole window."
        ),
    ]  # fmt: skip


def _of(sizes: Sizes) -> str:
    return (
        f"an embedding of {sizes.embedding_size}, {sizes.num_layers} x {sizes.hidden_size} units and a vocabulary of "
        f"{sizes.vocab_size:,}, reading {sizes.batch_size} streams"
    )


def _attempts(found: Figures) -> Table:
    rows = [
        (
            f"The exercise's loop {attempt.changed}: "
            + ("runs without an error" if attempt.failed_at is None else f"fails at window {attempt.failed_at}"),
            f"RuntimeError: {attempt.message}" if attempt.message else "no error",
        )
        for attempt in found.attempts
    ]
    return Table(("what was run", "torch's error"), rows, verbatim=True)


def _graphs(graphs: dict[str, bytes]) -> list[Block]:
    shown: list[Block] = [
        Text(
            "The graph that torch recorded for three windows of two tokens. Edges point in the direction of gradients, "
            "from each loss. Reshapes are left out. All windows share the weights (green), drawn once in each."
        )
    ]
    captions = {
        "without": "Without detach: thick edges carry the gradient into earlier windows, so all windows are kept.",
        "with": "With detach: the next window gets the state's numbers, not its graph, which is freed after an update.",
    }
    for name, drawn in graphs.items():
        shown += _shown(f"graph-{name}-detach.png", drawn, captions[name])
    return shown


def _shown(name: str, content: bytes, caption: str) -> list[Block]:
    return [Picture(name, content, caption), Text(caption)]


def _columns(table: Table) -> str:
    return "\n".join(aligned([table.header, *table.rows], "r" * len(table.header)))
