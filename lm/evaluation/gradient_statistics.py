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

from lm import __version__
from lm.data.encoded import checksum
from lm.system.errors import UserError
from lm.system.files import user_cache, whole
from lm.system.terminal import say

MOST_FILES = 8
"""A file is as large as the model's weights; the files that were not used for the longest time are deleted."""


def kept(key: str | None, like: Sequence[Tensor], compute: Callable[[], list[Tensor]]) -> list[Tensor]:
    """The tensors, of the shapes of `like`, that an earlier call kept under `key`; or else computed, and kept.

    They are in the user's cache folder. A cache that cannot be read or written costs time, nothing else. `key` None:
    they are computed.
    """
    if key is None:
        return compute()
    path = user_cache() / "gradients" / f"{key}.safetensors"
    with contextlib.suppress(OSError, SafetensorError):
        stored = load_file(path)
        found = [stored[str(i)] for i in range(len(stored)) if str(i) in stored]
        if [part.shape for part in found] == [part.shape for part in like]:
            with contextlib.suppress(OSError):
                path.touch()
            say(f"gradient statistics: from an earlier call, in {path}")
            return [part.to(one.device) for part, one in zip(found, like, strict=True)]
    computed = compute()
    with contextlib.suppress(OSError, UserError, SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, "") as aside:
            save_file({str(i): part.cpu().contiguous() for i, part in enumerate(computed)}, aside)
        _forget_oldest(path.parent)
    return computed


def key_of(model: nn.Module, ids: np.ndarray, settings: Sequence[Any]) -> str | None:
    """A checksum of all that the statistics depend on: the model with its weights, the text, the device, the settings.

    None for a model with parts of other programs than this one and torch: their code may change.
    """
    if any(type(module).__module__.partition(".")[0] not in ("lm", "torch") for module in model.modules()):
        return None
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    devices = sorted({part.device.type for part in model.parameters()})
    about = 1, __version__, torch.__version__, devices, trained, checksum(ids), *settings
    digest = hashlib.sha256(repr(about).encode())
    for name, module in model.named_modules():
        plain = {key: value for key, value in vars(module).items() if isinstance(value, (bool, int, float, str, tuple))}
        digest.update(repr((name, type(module), sorted(plain.items()))).encode())
    for name, part in (*model.named_parameters(), *model.named_buffers()):
        digest.update(repr((name, part.dtype, tuple(part.shape))).encode())
        digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[MOST_FILES:]:
        file.unlink(missing_ok=True)
