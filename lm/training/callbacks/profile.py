"""Measures which operations take the time of a training step (`trainer.profile=true`)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from lm.system.terminal import aligned, say

KINDS = {
    "LSTM kernel": ("rnn_layer", "_cudnn_rnn", "thnn_fused_lstm"),
    "matrix products": ("mm", "linear_pointwise", "gemm", "gemv", "bmm"),
    "softmax and loss": ("softmax", "nll_loss", "logsumexp", "cross_entropy"),
    "optimiser": ("adam", "sgd", "foreach", "lerp", "addcdiv", "addcmul"),
    "clipping": ("linalg_vector_norm", "clip"),
    "embedding": ("embedding", "index_select", "index_put"),
    "copies and casts": ("copy", "cat", "memcpy", "memset"),
    "activations": ("sigmoid", "tanh"),
}
"""Kind of operation -> parts of names in torch's profile. An operation belongs to the first kind that matches."""


class Profile(pl.Callback):
    """Skips `skip` windows of training, profiles `windows` windows, writes `profile.txt` and a trace, prints a summary.

    The trace, `profile_trace.json`, can be opened at ui.perfetto.dev or chrome://tracing.
    """

    def __init__(self, run_dir: str, windows: int = 10, skip: int = 5) -> None:
        self.folder, self.windows, self.skip = Path(run_dir), windows, skip
        self._seen = 0
        self._profile: profile | None = None

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        if self._seen == self.skip:
            cuda = [ProfilerActivity.CUDA] if module.device.type == "cuda" else []
            self._profile = profile(activities=[ProfilerActivity.CPU, *cuda])
            self._profile.start()

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
        self._profile.stop()
        text = report(own_times(self._profile.key_averages()), windows)
        (self.folder / "profile.txt").write_text(text + "\n", encoding="utf-8")
        self._profile.export_chrome_trace(str(self.folder / "profile_trace.json"))
        self._profile = None
        summary = text.split("\n\n\n")[0]
        say(f"{summary}\ndetails: {self.folder / 'profile.txt'}; in the same folder, a trace for ui.perfetto.dev")


def own_times(events: Iterable[Any]) -> list[tuple[str, float, int]]:
    """Turn events of torch's profile into rows (name, own microseconds, calls), without the time of nested operations.

    If a GPU was used, its times are given, each for the operation that started the GPU's work; else the processor's.
    """
    operations = [event for event in events if event.device_type == DeviceType.CPU]
    on_device = [(event.key, float(event.self_device_time_total), event.count) for event in operations]
    if any(time for _, time, _ in on_device):
        return [row for row in on_device if row[1]]
    return [(event.key, float(event.self_cpu_time_total), event.count) for event in operations]


def kind(name: str) -> str:
    """The kind of a torch operation: a key of `KINDS`, or "other"."""
    name = name.lower()
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "other")


def report(rows: list[tuple[str, float, int]], windows: int) -> str:
    """The text of a profile: shares of time by kind, then the longest operations.

    `rows` are (name, own microseconds, calls), measured over `windows` windows.
    """
    total = sum(time for _, time, _ in rows) or 1.0
    kinds: dict[str, float] = {}
    for name, time, _ in rows:
        kinds[kind(name)] = kinds.get(kind(name), 0.0) + time
    head = f"profile of {windows} windows, torch {torch.__version__}: {total / windows / 1000:.1f} ms a window"

    def cells(name: str, time: float) -> tuple[str, str, str]:
        return name, f"{time / total:.1%}", f"{time / windows / 1000:.2f}"

    shares = [cells(*item) for item in sorted(kinds.items(), key=lambda item: -item[1])]
    longest = sorted(rows, key=lambda row: -row[1])[:25]
    operations = [(*cells(name[:42], time), f"{calls / windows:.1f}") for name, time, calls in longest]
    by_kind = aligned([("kind", "share", "ms a window"), *shares], "lrr")
    by_operation = aligned([("operation", "share", "ms a window", "calls a window"), *operations], "lrrr")
    return "\n".join([head, "", *by_kind, "", "", *by_operation])
