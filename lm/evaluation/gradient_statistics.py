"""Keeps the gradient statistics of dynamic evaluation: the root mean squares of a model's gradients over a text."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lm.data.documents import starts_of
from lm.system.errors import UserError
from lm.system.files import user_cache, whole
from lm.system.terminal import say

MOST_FILES = 8
"""A file is as large as the model; the files not used for the longest time are deleted."""


def kept(key: str, compute: Callable[[], list[Tensor]]) -> list[Tensor]:
    """The tensors that an earlier call kept under `key` in the user's cache folder, or else computed, and kept.

    A cache that cannot be read or written costs time, nothing else.
    """
    path = user_cache() / "gradients" / f"{key}.safetensors"
    with contextlib.suppress(OSError, SafetensorError, KeyError):
        stored = load_file(path)
        path.touch()
        say(f"gradient statistics: from an earlier call, in {path}")
        return [stored[str(i)] for i in range(len(stored))]
    found = compute()
    with contextlib.suppress(OSError, UserError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, "") as aside:
            save_file({str(i): part.cpu() for i, part in enumerate(found)}, aside)
        _forget_oldest(path.parent)
    return found


def key_of(model: nn.Module, ids: np.ndarray, settings: Sequence[Any]) -> str:
    """A checksum of all that the statistics depend on: the model with its weights, the text, and the settings."""
    digest = hashlib.sha256(repr((1, torch.__version__, *settings)).encode())
    for name, module in model.named_modules():
        plain = {key: value for key, value in vars(module).items() if isinstance(value, (bool, int, float, str))}
        digest.update(repr((name, type(module).__qualname__, sorted(plain.items()))).encode())
    for name, part in model.state_dict().items():
        digest.update(repr((name, part.dtype, tuple(part.shape))).encode())
        digest.update(part.detach().cpu().contiguous().numpy().data)
    for array in (np.ascontiguousarray(ids), starts_of(ids)):
        digest.update(array.data)
    return digest.hexdigest()[:32]


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[MOST_FILES:]:
        file.unlink(missing_ok=True)
