"""Encodes text to ids once: the result is stored on disk and memory-mapped later."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
import zlib
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lm.data.source import SPLITS, Source, end_last_line
from lm.data.tokenisation import SPLITTERS
from lm.data.vocabulary import Vocab
from lm.system.errors import UserError
from lm.system.files import user_cache

FORMAT = 4  # increase it when the stored format changes: older folders are then ignored


@dataclass(frozen=True)
class Encoded:
    """A vocabulary and the ids [N] of each split, in the smallest integer type that holds them."""

    vocab: Vocab
    ids: dict[str, np.ndarray]

    @cached_property
    def checksums(self) -> dict[str, str]:
        """CRC-32 of the words and of each split's ids; equal checksums mean equal text and vocabulary."""
        words = np.frombuffer("\n".join(self.vocab.words).encode(), np.uint8)
        return {name: checksum(part) for name, part in {"vocabulary": words, **self.ids}.items()}


def checksum(ids: np.ndarray) -> str:
    """CRC-32 of an array's bytes, in hexadecimal digits."""
    return f"{zlib.crc32(np.ascontiguousarray(ids).data):08x}"


def encode(source: Source, unit: str = "word", vocab_size: int | None = None, min_count: int = 1) -> Encoded:
    """Encode the three texts of a source to ids.

    The training text is read only once: its words get temporary ids, and the vocabulary is chosen afterwards, by
    frequency.
    """
    split_text = SPLITTERS[unit]
    passing: defaultdict[str, int] = defaultdict()
    passing.default_factory = passing.__len__
    pieces = []
    for text in end_last_line(source.pieces("train")):
        tokens = split_text(text)
        pieces.append(np.fromiter(map(passing.__getitem__, tokens), dtype=np.uint32, count=len(tokens)))
    train = np.concatenate(pieces) if pieces else np.zeros(0, np.uint32)
    counts = dict(zip(passing, np.bincount(train, minlength=len(passing)).tolist(), strict=True))
    vocab = Vocab.from_counts(counts, unit, vocab_size, min_count)
    final = np.array([vocab.id(word) for word in passing], dtype=vocab.dtype)
    ids = {"train": final[train] if len(train) else np.zeros(0, vocab.dtype)}
    return Encoded(vocab, ids | {split: encode_split(source, split, vocab) for split in SPLITS[1:]})


def encode_split(source: Source, split: str, vocab: Vocab) -> np.ndarray:
    """The ids [N] of one split of a source in a given vocabulary."""
    parts = [vocab.encode(text) for text in end_last_line(source.pieces(split))]
    return np.concatenate(parts) if parts else np.zeros(0, vocab.dtype)


def encode_cached(
    source: Source, unit: str = "word", vocab_size: int | None = None, min_count: int = 1, cache: Path | None = None
) -> Encoded:
    """Like `encode`, but the result is stored on disk, so that the same text is not encoded again.

    The folder `cache` (None: the user's cache folder) has one folder per result, named by a hash of all inputs.

    A result's folder gets its name only when it is complete. A damaged folder is written again. If the
    cache is not writable, the text is encoded in memory, with a warning.
    """
    settings = {"unit": unit, "vocab_size": vocab_size, "min_count": min_count}
    key = json.dumps({"format": FORMAT, "source": source.fingerprint(), **settings}, sort_keys=True)
    folder = (cache or user_cache()) / "encoded" / hashlib.sha256(key.encode()).hexdigest()[:24]
    encoded = _load(folder)
    if encoded is None:
        encoded = encode(source, unit, vocab_size, min_count)
        try:
            _store(encoded, folder)
        except OSError as error:
            warnings.warn(f"the encoded text cannot be stored: {folder.parent}: {error.strerror}", stacklevel=2)
    return encoded


def _load(folder: Path) -> Encoded | None:
    try:
        stored = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        vocab = Vocab.from_dict(stored)
        ids = {split: np.load(folder / f"{split}.npy", mmap_mode="r") for split in SPLITS}
        encoded = Encoded(vocab, ids)
        # numpy checks the lengths; the checksums detect damaged content.
        if all(part.dtype == vocab.dtype for part in ids.values()) and encoded.checksums == stored["checksums"]:
            return encoded
    except (OSError, ValueError, KeyError, TypeError, UserError):
        pass  # missing or damaged: the caller encodes again
    return None


def _store(encoded: Encoded, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    try:
        for split, ids in encoded.ids.items():
            np.save(aside / f"{split}.npy", ids)
        stored = {**encoded.vocab.as_dict(), "checksums": encoded.checksums}
        (aside / "vocab.json").write_text(json.dumps(stored), encoding="utf-8")
        if folder.exists():  # damaged: `_load` refused it
            shutil.rmtree(folder, ignore_errors=True)
        os.rename(aside, folder)
    except OSError:
        if not folder.exists():  # otherwise another process was first, with the same content
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
