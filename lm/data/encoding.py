"""Encodes text to ids once: the result is stored on disk and memory-mapped later.

Memory is bounded by the different words of the training text and a buffer: ids are written to disk as they come.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from lm.data import encoded
from lm.data.encoded import COUNTS, PIECE, Encoded, SplitWriter, ids_file
from lm.data.repeated_lines import HeldOutLines
from lm.data.source import SPLITS, Source, end_last_line
from lm.data.tokenisation import SPLITTERS
from lm.data.vocabulary import UNK, Vocab
from lm.system.errors import UserError
from lm.system.files import user_cache
from lm.system.terminal import bar

FORMAT = 6  # increase it when the stored format changes: older folders are then ignored
ABANDONED = 86_400  # seconds after which an unfinished folder of another process is deleted


def encode(
    source: Source,
    unit: str = "word",
    vocab_size: int | None = None,
    min_count: int = 1,
    vocab: Vocab | None = None,
    between: Callable[[], None] = lambda: None,
) -> Encoded:
    """Encode the three texts of a source to ids, in a temporary folder that is deleted when the program ends.

    The vocabulary is chosen from the training text by `unit`, `vocab_size` and `min_count`, or it is `vocab`. `between`
    is called after each piece of the text; an exception that it raises ends the work.
    """
    folder = Path(tempfile.mkdtemp(prefix="recurrent-lm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with _room_for(folder):
        encode_into(folder, source, unit, vocab_size, min_count, vocab, between)
    return _written(folder)


def encode_cached(
    source: Source,
    unit: str = "word",
    vocab_size: int | None = None,
    min_count: int = 1,
    vocab: Vocab | None = None,
    between: Callable[[], None] = lambda: None,
    cache: Path | None = None,
) -> Encoded:
    """Like `encode`, but the result is kept on disk, so that the same text is not encoded again.

    The folder `cache` (None: the user's cache folder) has one folder per result, named by a hash of all inputs. A
    result's folder gets its name only when it is complete. A damaged folder is written again. If the cache is not
    writable, the text is encoded into a temporary folder, with a warning.
    """
    folder = cache_folder(source, unit, vocab_size, min_count, vocab, cache)
    if (found := encoded.read(folder)) is not None:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear(folder.parent)
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    except OSError as error:
        warnings.warn(f"the encoded text cannot be stored: {folder.parent}: {error.strerror}", stacklevel=2)
        return encode(source, unit, vocab_size, min_count, vocab, between)
    try:
        with _room_for(folder.parent):
            encode_into(aside, source, unit, vocab_size, min_count, vocab, between)
            if folder.exists():  # damaged: `read` refused it
                shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process was first, with the same content
                os.rename(aside, folder)
        return _written(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def cache_folder(
    source: Source,
    unit: str,
    vocab_size: int | None,
    min_count: int,
    vocab: Vocab | None,
    cache: Path | None = None,
) -> Path:
    """The folder of a result in the cache, whether it is there or not. Raises UserError if a text cannot be read."""
    given = None if vocab is None else [encoded.checksum_of_words(vocab), vocab.unit]
    settings = {"unit": unit, "vocab_size": vocab_size, "min_count": min_count, "vocab": given}
    key = json.dumps({"format": FORMAT, "source": source.fingerprint(), **settings}, sort_keys=True)
    return (cache or user_cache()) / "encoded" / hashlib.sha256(key.encode()).hexdigest()[:24]


def encode_into(
    folder: Path,
    source: Source,
    unit: str,
    vocab_size: int | None,
    min_count: int,
    vocab: Vocab | None,
    between: Callable[[], None],
) -> None:
    """Encode the three texts of a source into the files of an empty folder; see `encode`."""
    held_out, writers = HeldOutLines(), {}
    if vocab is not None:
        vocab = Vocab(vocab.words, vocab.unit)
    next(source.pieces("train"), None)  # so that a fault of the training text is the first to be told
    for split in SPLITS[1:]:
        for text in source.pieces(split):
            held_out.add(split, text)
    train = map(held_out.met, _pieces(source, "train", between))
    if vocab is None:
        vocab, writers["train"] = _with_its_words(folder, train, source, unit, vocab_size, min_count)
    for split in SPLITS:
        if split not in writers:
            with ids_file(folder, split).open("wb") as out:
                writer = writers[split] = SplitWriter(out, vocab)
                for text in train if split == "train" else _pieces(source, split, between):
                    writer.write(vocab.encode(text))
                    if split == "train" and UNK in text:  # whoever chose the words: this text writes it
                        vocab.writes_unk |= UNK in vocab.split(text)
    writers["train"].counts.tofile(folder / COUNTS)
    splits = {split: writers[split].facts for split in SPLITS}
    encoded.write_about(folder, vocab, splits, held_out.repeated())


def _written(folder: Path) -> Encoded:
    """The encoded text that was just written into a folder."""
    found = encoded.read(folder)
    if found is None:
        raise UserError(f"{folder} cannot be read after it was written; check the disk, or set LM_CACHE_DIR")
    return found


def _with_its_words(
    folder: Path, pieces: Iterable[str], source: Source, unit: str, vocab_size: int | None, min_count: int
) -> tuple[Vocab, SplitWriter]:
    """Encode the training text, which comes in `pieces`, and choose the vocabulary from it.

    The text is read only once: its words get passing ids, and the vocabulary is chosen afterwards, by frequency.
    """
    split_text = SPLITTERS[unit]
    passing: defaultdict[str, int] = defaultdict()
    passing.default_factory = passing.__len__
    counts = np.zeros(0, np.int64)
    passing_file = folder / "passing"
    with passing_file.open("wb") as file:
        for text in pieces:
            tokens = split_text(text)
            ids = np.fromiter(map(passing.__getitem__, tokens), dtype=np.uint32, count=len(tokens))
            file.write(ids.data)
            counts, earlier = np.bincount(ids, minlength=len(passing)), counts
            counts[: len(earlier)] += earlier
    try:
        vocab = Vocab.from_counts(dict(zip(passing, counts.tolist(), strict=True)), unit, vocab_size, min_count)
    except UserError as error:
        where = ", ".join(map(str, source.files.get("train", [])))
        raise UserError(f"{where}: {error}" if where else str(error)) from None
    final = np.array([vocab.id(word) for word in passing], dtype=vocab.dtype)
    with passing_file.open("rb") as file, ids_file(folder, "train").open("wb") as out:
        writer = SplitWriter(out, vocab)
        while len(ids := np.fromfile(file, np.uint32, PIECE)):
            writer.write(final[ids])
    passing_file.unlink()
    return vocab, writer


def encode_split(source: Source, split: str, vocab: Vocab) -> np.ndarray:
    """The ids [N] of one split of a source in a given vocabulary."""
    parts = [vocab.encode(text) for text in end_last_line(source.pieces(split))]
    return np.concatenate(parts) if parts else np.zeros(0, vocab.dtype)


def _pieces(source: Source, split: str, between: Callable[[], None]) -> Iterator[str]:
    """The pieces of a split, with a progress bar of the bytes read."""
    with bar(f"encoding the {split} text", source.size(split), "byte") as progress:
        for text in end_last_line(source.pieces(split)):
            yield text
            between()
            progress.update(len(text) if text.isascii() else len(text.encode()))


@contextlib.contextmanager
def _room_for(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into a UserError."""
    try:
        yield
    except OSError as error:
        remedy = "free some space, or set" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "set"
        raise UserError(
            f"the encoded text cannot be written to {folder}: {error.strerror}; {remedy} LM_CACHE_DIR to another folder"
        ) from None


def _clear(folder: Path) -> None:
    """Delete what processes that were killed have left here."""
    for left in folder.glob(".writing-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
