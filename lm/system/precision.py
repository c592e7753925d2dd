"""Chooses the fastest precision without loss of quality: bf16 if the device has bf16 instructions, else fp32."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lm.system.errors import UserError


def bf16_instructions() -> bool:
    """Whether the processor has bf16 instructions. If not, oneDNN refuses bf16 LSTMs, and its bf16 products are slow.

    LM_BF16=absent or LM_BF16=present overrides the answer, for tests. `present` on a processor without the instructions
    turns oneDNN off, so that torch's own slow kernels run.
    """
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    answer = os.environ.get("LM_BF16")
    if answer == "present" and not native:
        torch.backends.mkldnn.set_flags(False)
    return bool(native) if answer is None else answer == "present"


def best_precision(device: str) -> str:
    """`bf16-mixed` if the device, a torch device type, multiplies bf16 natively, else `32-true`."""
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if device == "cpu" and bf16_instructions() else "32-true"


def allow_tf32(allowed: bool) -> None:
    """Allow or forbid TF32 (10 bits of mantissa) in cuDNN's fp32 LSTMs. By default newer GPUs use it."""
    torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def exact(device: str) -> Iterator[None]:
    """Inside this context, computations on this type of device are in full fp32, even if training uses bf16 or TF32.

    So measurements of a checkpoint give the same results on every machine, up to rounding.
    """
    with torch.autocast(device, enabled=False), torch.backends.cudnn.flags(True, allow_tf32=False):
        yield


AUTO = "auto"
SHORT = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}
"""Lightning's older names of precisions, each with its present name."""
WHY = {
    "cuda": "this card has no bf16 instructions",
    "cpu": "this processor has no bf16 instructions",
    "mps": "bf16 is untested on mps",
}


def training_precision(device: str, precision: str | int | None, update: str) -> tuple[str | int | None, str]:
    """The precision to train in, given `accelerator.precision` and a device type, and a line of text that reports it.

    `auto` is the fastest precision without loss of quality: bf16 products with fp32 weights, or fp32 if the device has
    no bf16 instructions. `update` is `forcing.update`. Raises UserError for a precision that training does not support.
    """
    precision = SHORT.get(str(precision), precision)
    if precision != AUTO:
        check_precision(device, precision)
        return precision, f"precision: {precision}"
    if update == "token":
        return "32-true", "precision: 32-true (weights change at each token and would be cast again each time)"
    best = best_precision(device)
    bf16 = "bf16 products, fp32 weights; exact fp32: accelerator.precision=32-true"
    why = bf16 if best != "32-true" else WHY[device]
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
            f"accelerator.precision={precision}: gradients would be clipped before they are unscaled; choose "
            "bf16-mixed or 32-true"
        )
