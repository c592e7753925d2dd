"""Which precision is fastest without costing quality: bf16 where there are instructions for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lm.system.errors import UserError


def bf16_instructions() -> bool:
    """Whether the processor multiplies bf16 natively; else oneDNN refuses a bf16 LSTM, and emulates products slowly.

    LM_BF16=absent or present answers in its place, as the tests ask for: `present` without instructions does without
    oneDNN, by torch's own slow kernels.
    """
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    answer = os.environ.get("LM_BF16")
    if answer == "present" and not native:
        torch.backends.mkldnn.set_flags(False)
    return bool(native) if answer is None else answer == "present"


def best_precision(device: str) -> str:
    """`bf16-mixed` where the processor or card multiplies bf16 natively, else `32-true`; a device type of torch."""
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if device == "cpu" and bf16_instructions() else "32-true"


def allow_tf32(allowed: bool) -> None:
    """Whether cuDNN's LSTMs may multiply fp32 in TF32 (10 bits of mantissa), their default on newer cards: no fp32."""
    torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def exact(device: str) -> Iterator[None]:
    """Inside, fp32 is fp32 on this type of device, also where training is in bf16 or TF32: figures of one checkpoint
    are then the same wherever they are taken, up to rounding."""
    with torch.autocast(device, enabled=False), torch.backends.cudnn.flags(True, allow_tf32=False):
        yield


AUTO = "auto"
SHORT = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}
"""Lightning's older names."""
WHY = {
    "cuda": "this card has no bf16 instructions",
    "cpu": "this processor has no bf16 instructions",
    "mps": "bf16 is not tried on mps",
}


def training_precision(device: str, precision: str | int | None, update: str) -> tuple[str | int | None, str]:
    """What `accelerator.precision` stands for on a torch device, and a line that says so.

    `auto` is the fastest that does not cost quality: bf16 products with fp32 weights, or fp32 where there are no
    instructions for that. `update` is the forcing's. Raises UserError for a precision that cannot be trained in here.
    """
    precision = SHORT.get(str(precision), precision)
    if precision != AUTO:
        check_precision(device, precision)
        return precision, f"precision: {precision}"
    if update == "token":
        return "32-true", "precision: 32-true (weights that change with each token would be cast anew for each)"
    best = best_precision(device)
    products = "bf16 products, LSTMs in TF32" if device == "cuda" else "bf16 products"  # see LSTMLanguageModel.read
    why = f"{products}, fp32 weights; exact fp32: accelerator.precision=32-true" if best != "32-true" else WHY[device]
    return best, f"precision: {best} ({why})"


def check_precision(device: str, precision: str | int | None) -> None:
    """Raise UserError for a precision that this device cannot train in."""
    if device == "cpu" and str(precision).startswith("bf16") and best_precision("cpu") == "32-true":
        raise UserError(
            f"accelerator.precision={precision}: this processor has no bf16 instructions; choose "
            "accelerator.precision=32-true"
        )
    if precision == "int8":
        raise UserError("accelerator.precision=int8 is for scripts/sample.py: nothing can be trained in 8 bits")
    if precision == "16-mixed":
        raise UserError(
            f"accelerator.precision={precision}: gradients would be clipped before their scale is taken back; choose "
            "bf16-mixed or 32-true"
        )
