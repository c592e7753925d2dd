"""The state of torch's random number generators: saved, restored, and made to differ between processes."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import torch

from lm.system.ranks import Ranks


def differing_random_state(ranks: Ranks) -> None:
    """Give each rank but the first random draws of its own, which follow from the first one's, the same on all now."""
    if ranks.rank:
        torch.manual_seed(crc32(torch.get_rng_state().numpy().tobytes()) + ranks.rank)


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of torch's random number generators on the CPU and on the run's GPUs."""
    cards = range(torch.cuda.device_count()) if device.type == "cuda" else ()
    apple = {"mps_rng": torch.mps.get_rng_state()} if device.type == "mps" else {}
    return {"rng": torch.get_rng_state(), "cuda_rng": [torch.cuda.get_rng_state(i) for i in cards], **apple}


def restore_random_state(saved: dict[str, Any]) -> None:
    """Restore the RNG state that `random_state` returned."""
    torch.set_rng_state(saved["rng"])
    for i, rng in enumerate(saved["cuda_rng"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(rng, i)
    if "mps_rng" in saved and torch.backends.mps.is_available():
        torch.mps.set_rng_state(saved["mps_rng"])
