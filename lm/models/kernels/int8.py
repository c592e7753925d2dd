"""Weights in 8 bits, for faster sampling: most of the time of a word is spent reading the weights from memory."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lm.system.errors import UserError


@contextlib.contextmanager
def int8_weights(model: nn.Module) -> Iterator[None]:
    """Inside this context, `lm.models.kernels.linear.linear` uses the model's matrices rounded to 8 bits.

    Each row of a matrix has a scale. Inputs are rounded to 7 bits in each call (dynamic quantisation). The model itself
    does not change, and computations with gradients use its exact weights. Weights that change inside this context are
    not rounded again. Raises UserError for weights that are not finite, and if this build of torch cannot multiply in 8
    bits.
    """
    # Tried and rejected: bf16 and fp16 weights. On a processor without instructions for them they gain less for one row
    # (1.2 ms against 0.4 ms; fp32 takes 3.4 ms for a head of 1024 x 10,000) and lose for 64 rows (69 and 117 against
    # 6 ms).
    multiplied = (module for module in model.modules() if not isinstance(module, nn.Embedding))
    parameters = (parameter for module in multiplied for parameter in module.parameters(recurse=False))
    matrices: list[Any] = [parameter for parameter in parameters if parameter.dim() == 2]
    with _engine():
        packed = [pack(matrix) for matrix in matrices]
        before = [getattr(matrix, "packed_int8", None) for matrix in matrices]  # by an outer context
        try:
            for matrix, new in zip(matrices, packed, strict=True):
                matrix.packed_int8 = new
            yield
        finally:
            for matrix, old in zip(matrices, before, strict=True):
                if old is None:
                    del matrix.packed_int8
                else:
                    matrix.packed_int8 = old


@contextlib.contextmanager
def _engine() -> Iterator[None]:
    """Inside this context, torch uses a library for 8-bit products. On Apple's processors it selects none by itself."""
    engines: Any = torch.backends.quantized
    chosen = engines.engine
    if chosen == "none":
        if "qnnpack" not in engines.supported_engines:
            raise UserError(
                f"accelerator.precision=int8: this PyTorch ({torch.__version__}) cannot multiply in 8 bits; choose "
                "accelerator.precision=32-true"
            )
        engines.engine = "qnnpack"
    try:
        yield
    finally:
        engines.engine = chosen


def pack(weight: Tensor) -> torch.ScriptObject:
    """Round a matrix [N, K] to 8 bits, and store it in the memory layout that 8-bit products on this processor need."""
    weight = weight.detach().float().cpu()
    if not weight.isfinite().all():
        raise UserError("the model's weights are not finite: its training has probably diverged; use a lower optim.lr")
    scales = weight.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / 127  # N
    with warnings.catch_warnings(action="ignore"):  # deprecations of the Python API, not of these operations
        rounded = torch.quantize_per_channel(weight, scales, torch.zeros(len(weight), dtype=torch.long), 0, torch.qint8)
        packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(rounded, None)
    return packed
