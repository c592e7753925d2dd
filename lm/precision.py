"""Which precision is fastest without costing quality: bf16 where there are instructions for it."""

from __future__ import annotations

import torch

from lm.errors import UserError


def best_precision(device: str) -> str:
    """`bf16-mixed` where the processor or card multiplies bf16 natively, else `32-true`; a device type of torch."""
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if device == "cpu":
        # Without these oneDNN refuses a bf16 LSTM, and emulates products slowly.
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bf16-mixed" if native else "32-true"
    return "32-true"


def check_precision(device: str, precision: str | int | None) -> None:
    """Raise UserError for a precision that this device cannot train in."""
    if device == "cpu" and str(precision).startswith("bf16") and best_precision("cpu") == "32-true":
        raise UserError(
            f"accelerator.precision={precision}: this processor has no bf16 instructions; choose "
            "accelerator.precision=32-true"
        )
    if str(precision) in ("16", "16-mixed"):
        raise UserError(
            f"accelerator.precision={precision}: gradients would be clipped before their scale is taken back; choose "
            "bf16-mixed or 32-true"
        )
