"""Finds the torch device for a setting of the `accelerator` group."""

from __future__ import annotations

from functools import cache

import torch

from lm.system.errors import UserError


def device(name: str) -> torch.device:
    """The torch device for cpu, gpu, mps or auto. Raises UserError if this machine does not have it."""
    found = {"cpu": True, "gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name in ("cuda", "gpu") and not found["gpu"]:
        why = "this PyTorch is built without CUDA" if torch.version.cuda is None else "PyTorch finds no card"
        raise UserError(f"accelerator={name}: {why} ({torch.__version__}); choose accelerator=cpu or accelerator=auto")
    if name == "auto":
        name = next(kind for kind in ("gpu", "mps", "cpu") if found[kind])
    if not found.get("gpu" if name == "cuda" else name):
        there = ", ".join(["auto", *(kind for kind, is_there in found.items() if is_there)])
        raise UserError(f"accelerator={name}: this machine has none; choose one of {there}")
    return torch.device("cuda" if name in ("gpu", "cuda") else name)


def use_threads(count: int | None) -> None:
    """Compute with this many threads of the processor; None: with as many as at the first call."""
    before = threads_at_first()
    torch.set_num_threads(count or before)


@cache
def threads_at_first() -> int:
    """How many threads compute in this process if nothing is set: one for each of the machine's cores that it has."""
    return torch.get_num_threads()
