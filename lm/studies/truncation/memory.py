"""Peak memory and seconds of training with `tbptt.windows=k`, each measurement in a separate process.

In one process the second measurement would reuse memory that the first one freed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from typing import NamedTuple

import torch

from lm.config.conf_folder import ROOT
from lm.data.streams import Window
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.step import BareStep
from lm.studies.benchmark.timing import wait
from lm.system.errors import UserError
from lm.system.memory import peak, reset_peak, resident

EXACT = {"MALLOC_MMAP_THRESHOLD_": str(64 * 1024)}
"""Environment variable that makes glibc return each tensor's memory to the system as soon as the tensor is freed.

The peak then counts live tensors, not free heap. This costs page faults, so timed measurements run without it.
"""


class Measurement(NamedTuple):
    """Peak bytes above the memory of the idle model and its optimiser, and median seconds per update."""

    bytes: int
    seconds: float


def peak_bytes(sizes: Sizes, tbptt_windows: int, updates: int, device: str = "cpu") -> int:
    """Peak memory of `updates` updates of `tbptt_windows` windows each, in bytes.

    What the model and its optimiser hold when idle is not counted. Raises UserError if the measurement fails.
    """
    return _apart(sizes, tbptt_windows, updates, device, EXACT).bytes


def seconds_per_update(sizes: Sizes, tbptt_windows: int, updates: int, device: str = "cpu") -> float:
    """Median seconds of `updates` updates of `tbptt_windows` windows each, without the first update.

    Raises UserError on failure.
    """
    return _apart(sizes, tbptt_windows, updates, device, {}).seconds


def _apart(sizes: Sizes, tbptt_windows: int, updates: int, device: str, settings: dict[str, str]) -> Measurement:
    """Call `measure` in a fresh process; `settings` are environment variables of the process."""
    request = {"sizes": asdict(sizes), "tbptt_windows": tbptt_windows, "updates": updates, "device": device}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "lm.studies.truncation.memory", json.dumps(request)],
        capture_output=True,
        text=True,
        env={**os.environ, **settings, "PYTHONPATH": path},
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        why = said[-1] if said else f"exit code {done.returncode}, perhaps because memory does not suffice"
        raise UserError(
            f"{tbptt_windows} windows of {sizes.window} tokens between two updates could not be measured: {why}; "
            "lower windows, lengths or sizes"
        )
    found = json.loads(done.stdout.splitlines()[-1])
    return Measurement(found["bytes"], found["seconds"])


def measure(sizes: Sizes, tbptt_windows: int, updates: int, device: str = "cpu") -> Measurement:
    """Train for `updates` updates of `tbptt_windows` windows each, as LanguageModule does; measures memory and time.

    The first update is not timed if there are others. Bytes are resident memory on a CPU, and those of
    torch's allocator on a GPU.
    """
    model = sizes.model().to(device)
    training = BareStep(model, device)
    data = sizes.windows(tbptt_windows * updates)
    # One token in one stream allocates gradients, Adam's moments and torch's buffers before the count begins.
    one = data[0]
    training.update([Window(one.inputs[:1, :1], one.targets[:1, :1], one.reset[:1, :1])], model.initial_state(1))
    memory = _Memory(device)
    windows, state, seconds = iter(data), model.initial_state(sizes.batch_size), []
    for _ in range(updates):
        wait(device)
        start = time.perf_counter()
        state = training.update((next(windows) for _ in range(tbptt_windows)), state)
        wait(device)
        seconds.append(time.perf_counter() - start)
    return Measurement(memory.peak(), statistics.median(seconds[1:] or seconds))


class _Memory:
    """Measures peak bytes since this object was made, above the bytes in use at that time."""

    def __init__(self, device: str) -> None:
        self.device = device
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            reset_peak()
            self.before = resident()

    def peak(self) -> int:
        now = torch.cuda.max_memory_allocated() if self.device == "cuda" else peak()
        return max(0, now - self.before)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    try:
        result = measure(Sizes(**asked["sizes"]), asked["tbptt_windows"], asked["updates"], asked["device"])
    except (UserError, RuntimeError, MemoryError) as failure:
        sys.exit(str(failure).splitlines()[0])
    print(json.dumps(result._asdict()))
