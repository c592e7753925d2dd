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
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from lm.data import encoded
from lm.data.documents import Ids
from lm.data.encoded import COUNTS, PIECE, Encoded, Split, SplitWriter, ids_file
from lm.data.numbering import Numbering, Part, part_of
from lm.data.numbering_on_all_cores import numbered
from lm.data.plain_text import bytes_of
from lm.data.repeated_lines import HeldOutLines
from lm.data.source import SPLITS, Source, end_last_line
from lm.data.text_size import TextSize
from lm.data.tokenisers import EOS, Tokeniser
from lm.data.vocabulary import Vocab
from lm.data.vocabulary_choice import VocabularyChoice
from lm.system.errors import UserError
from lm.system.files import user_cache
from lm.system.terminal import bar

FORMAT = 7  # increase it when the stored format changes: older folders are then ignored
ANY_WORDS = VocabularyChoice()
ABANDONED = 86_400  # seconds after which an unfinished folder of another process is deleted


def encode(source: Source, choice: VocabularyChoice = ANY_WORDS, between: Callable[[], None] = lambda: None) -> Encoded:
    """Encode the three texts of a source to ids, in a temporary folder that is deleted when the program ends.

    `between` is called after each piece of the text; an exception that it raises ends the work.
    """
    folder = Path(tempfile.mkdtemp(prefix="recurrent-lm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with _room_for(folder):
        encode_into(folder, source, choice, between)
    return _written(folder, choice)


def encode_cached(
    source: Source,
    choice: VocabularyChoice = ANY_WORDS,
    between: Callable[[], None] = lambda: None,
    cache: Path | None = None,
) -> Encoded:
    """Like `encode`, but the result is kept on disk, so that the same text is not encoded again.

    The folder `cache` (None: the user's cache folder) has one folder per result, named by a hash of all inputs. A
    result's folder gets its name only when it is complete. A damaged folder is written again. If the cache is not
    writable, the text is encoded into a temporary folder, with a warning.
    """
    folder = cache_folder(source, choice, cache)
    if (found := encoded.read(folder, choice.splitter)) is not None:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear(folder.parent)
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    except OSError as error:
        warnings.warn(f"the encoded text cannot be stored: {folder.parent}: {error.strerror}", stacklevel=2)
        return encode(source, choice, between)
    try:
        with _room_for(folder.parent):
            encode_into(aside, source, choice, between)
            if folder.exists():  # damaged: `read` refused it
                shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process was first, with the same content
                os.rename(aside, folder)
        return _written(folder, choice)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def cache_folder(source: Source, choice: VocabularyChoice, cache: Path | None = None) -> Path:
    """The folder of a result in the cache, whether it is there or not. Raises UserError if a text cannot be read."""
    inputs = {"format": FORMAT, "source": source.fingerprint(), "vocabulary": choice.fingerprint()}
    key = json.dumps(inputs, sort_keys=True)
    return (cache or user_cache()) / "encoded" / hashlib.sha256(key.encode()).hexdigest()[:24]


def encode_into(folder: Path, source: Source, choice: VocabularyChoice, between: Callable[[], None]) -> None:
    """Encode the three texts of a source into the files of an empty folder; see `encode`."""
    held_out = HeldOutLines()
    next(source.pieces("train"), None)  # so that a fault of the training text is the first to be told
    for split in SPLITS[1:]:
        for text in source.pieces(split):
            held_out.add(split, text)
    learned_from = _pieces(source, "train", source.pieces, "learning tokens from", between)
    tokeniser = choice.splitter.trained(learned_from)
    train = map(held_out.met, _pieces(source, "train", source.marked, "encoding", between))
    vocab, facts = _encode_training_text(folder, train, source, choice, tokeniser)
    splits = {"train": facts}
    for split in SPLITS[1:]:
        with ids_file(folder, split).open("wb") as out:
            writer = SplitWriter(out, vocab)
            for part in _parts(source, vocab, _pieces(source, split, source.marked, "encoding", between)):
                writer.write(part)
            splits[split] = writer.facts
        _write_starts(folder, split, source, writer.starts)
    encoded.write_about(folder, vocab, splits, held_out.repeated(), source.documents)


def _written(folder: Path, choice: VocabularyChoice) -> Encoded:
    """The encoded text that was just written into a folder."""
    found = encoded.read(folder, choice.splitter)
    if found is None:
        raise UserError(f"{folder} cannot be read after it was written; check the disk, or set LM_CACHE_DIR")
    return found


def _encode_training_text(
    folder: Path, pieces: Iterator[str], source: Source, choice: VocabularyChoice, tokeniser: Tokeniser
) -> tuple[Vocab, Split]:
    """Encode the training text, which comes in `pieces`, and find its vocabulary.

    The text is read only once: its words get passing ids, and their final ids afterwards.
    """
    numbering, size, starts, passed = Numbering(tokeniser), TextSize(), list[int](), 0
    passing_file = folder / "passing"
    with passing_file.open("wb") as file:
        for part in chain(_opening(source, numbering.words, np.dtype(np.uint32)), numbered(pieces, numbering)):
            file.write(part.ids.data)
            size += part.size
            starts += part.places(passed)
            passed += len(part.ids)
    words = numbering.words
    counts = np.zeros(len(words), np.int64)
    for ids in _read(passing_file):
        counts += np.bincount(ids, minlength=len(words))
    try:
        vocab = choice.vocabulary(dict(zip(words, counts.tolist(), strict=True)), tokeniser)
    except UserError as error:
        where = ", ".join(map(str, source.files.get("train", [])))
        raise UserError(f"{where}: {error}" if where else str(error)) from None
    final = np.fromiter(map(vocab.id, words), dtype=vocab.dtype, count=len(words))
    with ids_file(folder, "train").open("wb") as out:
        writer = SplitWriter(out, vocab)
        for ids in _read(passing_file):
            writer.write(Part(final[ids]))
    passing_file.unlink()
    writer.counts.tofile(folder / COUNTS)
    writer.size, writer.starts = size, starts
    _write_starts(folder, "train", source, starts)
    return vocab, writer.facts


def _read(passing_file: Path) -> Iterator[np.ndarray]:
    with passing_file.open("rb") as file:
        while len(ids := np.fromfile(file, np.uint32, PIECE)):
            yield ids


def encode_split(source: Source, split: str, vocab: Vocab) -> np.ndarray:
    """The ids [N] of one split of a source in a given vocabulary."""
    ids, starts, passed = [np.zeros(0, vocab.dtype)], list[int](), 0
    for part in _parts(source, vocab, end_last_line(source.marked(split))):
        ids.append(part.ids)
        starts += part.places(passed)
        passed += len(part.ids)
    found = np.concatenate(ids)
    return Ids(found, np.array(starts, np.int64)) if source.documents else found


def _parts(source: Source, vocab: Vocab, pieces: Iterator[str]) -> Iterator[Part]:
    """The parts of a split, which comes in `pieces`, in a given vocabulary."""
    yield from _opening(source, vocab.index, vocab.dtype)
    for text in pieces:
        yield part_of(text, vocab.tokeniser, vocab.index, vocab.dtype)


def _opening(source: Source, numbers: Mapping[str, int], kind: np.dtype) -> list[Part]:
    """The `<eos>` that is read before the first document, so that its first word is scored like that of the others."""
    return [Part(np.array([numbers[EOS]], kind))] if source.documents else []


def _write_starts(folder: Path, split: str, source: Source, starts: list[int]) -> None:
    if source.documents:
        np.array(starts, np.int64).tofile(encoded.starts_file(folder, split))


def _pieces(
    source: Source, split: str, read: Callable[[str], Iterator[str]], doing: str, between: Callable[[], None]
) -> Iterator[str]:
    """The pieces that `read` gives of a split, with a progress bar of the bytes read."""
    with bar(f"{doing} the {split} text", source.size(split), "byte") as progress:
        for text in end_last_line(read(split)):
            yield text
            between()
            progress.update(bytes_of(text))


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
