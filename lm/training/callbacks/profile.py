"""Measures which operations take the time of a training step (`trainer.profile=true`)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from lm.system.terminal import aligned, say
from lm.training.curves import CURVES

KINDS = {
    "matrix products": ("mm", "linear_pointwise", "gemm", "gemv", "bmm"),
    "recurrence in one kernel": ("rnn_layer", "_cudnn_rnn", "thnn_fused_lstm"),
    "softmax and loss": ("softmax", "nll_loss", "logsumexp", "cross_entropy", "crossentropy"),
    "optimiser": ("adam", "sgd", "foreach", "lerp", "addcdiv", "addcmul"),
    "clipping": ("linalg_vector_norm", "clip"),
    "embedding": ("embedding", "index_select", "index_put"),
    "copies and casts": ("copy", "::cat", "memcpy", "memset", "reorder_linear_weight"),
    "dropout masks": ("uniform", "bernoulli", "dropout"),
    "activations": ("sigmoid", "tanh"),
    CURVES: (CURVES,),
}
"""Kind of operation -> parts of names in torch's profile. An operation belongs to the first kind that matches."""
RECURRENCE = ("_window", "_product", "_added", "_recurrence")
"""Our operations that read a window step by step, in lower case: see lm/models/kernels."""
PRODUCTS = ("matrix products", "products of the recurrence")
"""The kinds that make up the floor."""


class Row(NamedTuple):
    """An operation: its name and kind, its own time in microseconds, and how often it was called."""

    name: str
    kind: str
    time: float
    calls: int


class Profile(pl.Callback):
    """Skips `skip` windows of training, profiles `windows` windows, writes `profile.txt` and a trace, prints a summary.

    The trace, `profile_trace.json`, can be opened at ui.perfetto.dev or chrome://tracing.
    """

    def __init__(self, run_dir: str, windows: int = 10, skip: int = 5) -> None:
        self.folder, self.windows, self.skip = Path(run_dir), windows, skip
        self._seen, self._since, self._on_gpu = 0, 0.0, False
        self._profile: profile | None = None

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        if self._seen == self.skip:
            cuda = [ProfilerActivity.CUDA] if module.device.type == "cuda" else []
            self._profile = profile(activities=[ProfilerActivity.CPU, *cuda])
            self._profile.start()
            self._since, self._on_gpu = time.perf_counter(), bool(cuda)

    def on_train_batch_end(self, *_: Any) -> None:
        self._seen += 1
        if self._seen == self.skip + self.windows:
            self._finish(self.windows)

    def on_train_end(self, *_: Any) -> None:
        if self._profile is not None:
            self._finish(self._seen - self.skip)
        elif self._seen <= self.skip:
            say(f"no profile: it begins after {self.skip} windows of training, and there were only {self._seen}")

    def on_exception(self, *_: Any) -> None:
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _finish(self, windows: int) -> None:
        assert self._profile is not None
        seconds = time.perf_counter() - self._since
        self._profile.stop()
        rows = own_times(self._profile.events() or [])
        if not self._on_gpu:  # whose operations wait in a queue: their times and Python's do not add up
            rest = 1e6 * seconds - sum(row.time for row in rows)
            rows.append(Row("Python", "Python, data and Lightning", max(rest, 0.0), 0))
        text = report(rows, windows)
        (self.folder / "profile.txt").write_text(text + "\n", encoding="utf-8")
        self._profile.export_chrome_trace(str(self.folder / "profile_trace.json"))
        self._profile = None
        summary = text.split("\n\n\n")[0]
        say(f"{summary}\ndetails: {self.folder / 'profile.txt'}; in the same folder, a trace for ui.perfetto.dev")


def own_times(events: Iterable[Any]) -> list[Row]:
    """Turn events of torch's profile into one row per operation and kind, without the time of nested operations.

    If a GPU was used, its times are given, each for the operation that started the GPU's work; else the processor's.
    """
    operations = [event for event in events if event.device_type == DeviceType.CPU]
    on_device = any(event.self_device_time_total for event in operations)
    found: dict[tuple[str, str], tuple[float, int]] = {}
    for event in operations:
        own = float(event.self_device_time_total if on_device else event.self_cpu_time_total)
        if own or not on_device:
            key = event.name, kind_of(event)
            before, calls = found.get(key, (0.0, 0))
            found[key] = before + own, calls + 1
    return [Row(*key, *values) for key, values in found.items()]


def kind_of(event: Any) -> str:
    """The kind of an operation: a key of `KINDS`, a part of our own recurrence, or "other operations"."""
    own, above = kind(event.name), event
    if own == "copies and casts":
        return own
    while above is not None:
        name = above.name.lower()
        if name.startswith(RECURRENCE):
            return PRODUCTS[1] if own == PRODUCTS[0] else "recurrence between its products"
        if "crossentropy" in name and own != PRODUCTS[0]:
            return "softmax and loss"
        above = above.cpu_parent
    return own


def kind(name: str) -> str:
    """The kind of a torch operation by its name alone."""
    name = name.lower()
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "other operations")


def report(rows: list[Row], windows: int) -> str:
    """The text of a profile: the floor, shares of time by kind, then the longest operations, over `windows` windows."""
    total = sum(row.time for row in rows) or 1.0
    kinds: dict[str, float] = {}
    for row in rows:
        kinds[row.kind] = kinds.get(row.kind, 0.0) + row.time
    floor = sum(kinds.get(name, 0.0) for name in PRODUCTS)
    ms = 1000 * windows
    head = f"profile of {windows} windows, torch {torch.__version__}: {total / ms:.1f} ms a window"
    head += f", of which the floor, its matrix products alone, takes {floor / ms:.1f}"
    if "recurrence in one kernel" in kinds:
        head += " (without those inside the kernel of the recurrence)"

    def cells(name: str, time: float) -> tuple[str, str, str]:
        return name, f"{time / total:.1%}", f"{time / ms:.2f}"

    shares = [
        (*cells(*item), f"{item[1] / floor:.2f}" if floor else "")
        for item in sorted(kinds.items(), key=lambda item: -item[1])
    ]
    longest = sorted(rows, key=lambda row: -row.time)[:25]
    operations = [(*cells(row.name[:42], row.time), f"{row.calls / windows:.1f}") for row in longest]
    by_kind = aligned([("kind", "share", "ms a window", "times the floor"), *shares], "lrrr")
    by_operation = aligned([("operation", "share", "ms a window", "calls a window"), *operations], "lrrr")
    return "\n".join([head, "", *by_kind, "", "", *by_operation])
