"""Text to ids, once: the result is kept on disk and memory-mapped from then on."""

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
from pathlib import Path

import numpy as np

from lm.data.sources import SPLITS, Source, end_last_line, user_cache
from lm.data.vocab import SPLITTERS, Vocab
from lm.errors import UserError

FORMAT = 2  # raise it when what is written changes: older folders are then left alone


@dataclass(frozen=True)
class Corpus:
    """A vocabulary and the ids [N] of each split, in the smallest integer type that holds them."""

    vocab: Vocab
    ids: dict[str, np.ndarray]


def encode(source: Source, unit: str = "word", vocab_size: int | None = None, min_count: int = 1) -> Corpus:
    """Read and number a source's three texts. One pass: words get passing numbers, frequency decides afterwards."""
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
    for split in SPLITS[1:]:
        parts = [vocab.encode(text) for text in end_last_line(source.pieces(split))]
        ids[split] = np.concatenate(parts) if parts else np.zeros(0, vocab.dtype)
    return Corpus(vocab, ids)


def encode_cached(
    source: Source, unit: str = "word", vocab_size: int | None = None, min_count: int = 1, cache: Path | None = None
) -> Corpus:
    """`encode`, remembered in the folder `cache` (None: the user's) under everything that the result depends on.

    A folder appears there by a rename, whole or not at all; one that does not read back as written is made anew.
    Where the cache cannot be written the text is encoded in memory, with a warning.
    """
    settings = {"unit": unit, "vocab_size": vocab_size, "min_count": min_count}
    key = json.dumps({"format": FORMAT, "source": source.fingerprint(), **settings}, sort_keys=True)
    folder = (cache or user_cache()) / "encoded" / hashlib.sha256(key.encode()).hexdigest()[:24]
    corpus = _load(folder)
    if corpus is None:
        corpus = encode(source, unit, vocab_size, min_count)
        try:
            _store(corpus, folder)
        except OSError as error:
            warnings.warn(f"the encoded text is not kept: {folder.parent}: {error.strerror}", stacklevel=2)
    return corpus


def _load(folder: Path) -> Corpus | None:
    try:
        stored = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        vocab = Vocab(stored["words"], stored["unit"])
        ids = {split: np.load(folder / f"{split}.npy", mmap_mode="r") for split in SPLITS}
        if all(ids[split].dtype == vocab.dtype and _sum(ids[split]) == stored["sums"][split] for split in SPLITS):
            return Corpus(vocab, ids)
    except (OSError, ValueError, KeyError, TypeError, UserError):
        pass  # nothing there, or damaged: the caller encodes again
    return None


def _sum(ids: np.ndarray) -> list[int]:
    """Length and checksum: a disk that gives back something else is noticed."""
    return [len(ids), zlib.crc32(np.ascontiguousarray(ids).data)]


def _store(corpus: Corpus, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    try:
        for split, ids in corpus.ids.items():
            np.save(aside / f"{split}.npy", ids)
        sums = {split: _sum(ids) for split, ids in corpus.ids.items()}
        stored = {"words": corpus.vocab.words, "unit": corpus.vocab.unit, "sums": sums}
        (aside / "vocab.json").write_text(json.dumps(stored), encoding="utf-8")
        if folder.exists():  # a damaged one: `_load` refused it
            shutil.rmtree(folder, ignore_errors=True)
        os.rename(aside, folder)
    except OSError:
        if not folder.exists():  # else another process was first, with the same content
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
