"""Encoding in bounded memory: what is left on disk, what a start reads, how it ends when it is stopped."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY, Done

from lm.data import encoded, numbering_on_all_cores
from lm.data.encoded import SplitWriter
from lm.data.encoding import ABANDONED, encode, encode_cached
from lm.data.numbering import Numbering, Part
from lm.data.sources.text_files import TextFiles
from lm.data.text_size import TextSize
from lm.data.tokenisers import Bytes, Characters, Punctuation, Tokeniser, Whitespace
from lm.data.vocabulary_choice import VocabularyChoice
from lm.system.errors import UserError
from lm.system.signals import Interrupted


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "encoded"


@pytest.fixture
def text(tmp_path: Path) -> TextFiles:
    (tmp_path / "text").write_text("".join(f"the word{i % 97} is here\n" for i in range(2000)))
    return TextFiles(tmp_path / "text")


def test_pieces_give_what_the_whole_gives(text: TextFiles, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode(text, VocabularyChoice(min_count=3))
    monkeypatch.setattr("lm.data.text_file.PIECE_BYTES", 1000)
    monkeypatch.setattr("lm.data.encoding.PIECE", 37)
    pieces = encode(text, VocabularyChoice(min_count=3))
    assert pieces.vocab == whole.vocab
    assert pieces.splits == whole.splits
    for split, ids in whole.ids.items():
        assert np.array_equal(pieces.ids[split], ids)
        assert whole.splits[split].checksum == encoded.checksum(ids)
        assert whole.splits[split].unknown == np.count_nonzero(ids == whole.vocab.unk)
    assert np.array_equal(whole.counts, np.bincount(whole.ids["train"], minlength=len(whole.vocab)))


def test_a_start_reads_no_ids_unless_a_file_has_changed(
    text: TextFiles, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encode_cached(text)
    read: list[int] = []
    monkeypatch.setattr("lm.data.encoded._read_again", lambda found: bool(read.append(1)) or True)
    assert encode_cached(text).splits == first.splits
    assert not read
    os.utime(first.folder / "train.ids")
    assert encode_cached(text).splits == first.splits
    assert read


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    text: TextFiles, cache: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(SplitWriter, "write", full)
    with pytest.raises(UserError, match=r"cannot be written to .*LM_CACHE_DIR") as said:
        encode_cached(text)
    assert ("free some space" in str(said.value)) == (code == errno.ENOSPC)
    assert list(cache.iterdir()) == []


def test_a_stop_between_two_pieces_leaves_nothing(
    text: TextFiles, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm.data.text_file.PIECE_BYTES", 1000)
    calls: list[int] = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Interrupted(2)

    with pytest.raises(Interrupted):
        encode_cached(text, between=stop)
    assert list(cache.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_after_a_day(text: TextFiles, cache: Path) -> None:
    for name, age in ((".writing-old", ABANDONED + 60), (".writing-new", 60)):
        (cache / name).mkdir(parents=True)
        then = (cache / name).stat().st_mtime - age
        os.utime(cache / name, (then, then))
    encode_cached(text)
    assert {path.name for path in cache.iterdir() if path.name.startswith(".")} == {".writing-new"}


def test_a_full_disk_ends_training_with_its_sentence(
    text: TextFiles, cache: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Done], tmp_path: Path
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SplitWriter, "write", full)
    done = call("train", "data=text", f"data.train={tmp_path}/text", *TINY, f"hydra.run.dir={tmp_path}/run")
    assert done.code == 1
    assert f"error: the encoded text cannot be written to {cache}: No space left on device; free some space" in done.err


def test_lines_of_the_training_text_in_the_others_are_counted_and_told(
    cache: Path, tmp_path: Path, call: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"line number {i} has some words\n" for i in range(100)]
    (tmp_path / "train").write_text("".join(lines[:80]) + "he said .\n" * 20)
    (tmp_path / "valid").write_text("".join(lines[70:90]))  # 10 of 20 are repeated
    (tmp_path / "test").write_text("".join(lines[80:]) + "he said .\n" * 20)  # no long one is
    files = {split: tmp_path / split for split in ("train", "valid", "test")}
    monkeypatch.setattr("lm.data.text_file.PIECE_BYTES", 100)
    found = encode(TextFiles(**files)).repeated
    assert (found["valid"].long, found["valid"].repeated) == (20, 10)
    assert (found["test"].long, found["test"].repeated) == (20, 0)
    named = [f"data.{split}={path}" for split, path in files.items()]
    settings = [*TINY, "trainer.max_epochs=1", "trainer.limit_train_batches=1", "free_running=null"]
    for run in ("first", "second"):  # the second reads the encoded text
        done = call("train", "data=text", *named, *settings, f"hydra.run.dir={tmp_path}/{run}")
        assert done.code == 0, done.err
        assert (
            "warning: 50% of the valid text's lines of 5 words or 20 characters or more are lines of the training text"
            in done.err
        )


def alike(one: encoded.Encoded, other: encoded.Encoded) -> bool:
    """Whether two encoded texts have the same words, facts, and so (by checksum) the same ids."""
    return one.vocab == other.vocab and one.splits == other.splits


@pytest.mark.parametrize("tokeniser", [Whitespace(), Characters(), Bytes(), Punctuation(lowercase=True)])
def test_all_cores_give_what_one_gives(
    tokeniser: Tokeniser, text: TextFiles, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = VocabularyChoice(tokeniser)
    monkeypatch.setattr("lm.data.text_file.PIECE_BYTES", 1000)
    alone = encode(text, choice)
    monkeypatch.setattr(numbering_on_all_cores, "ALONE", 3)
    monkeypatch.setattr(numbering_on_all_cores, "cores", lambda: 3)
    helpers: list[numbering_on_all_cores.Helper] = []
    start = numbering_on_all_cores.started
    monkeypatch.setattr(numbering_on_all_cores, "started", lambda one: helpers.extend(start(one)) or helpers)
    assert alike(encode(text, choice), alone)
    assert len(helpers) == 3
    assert all(helper.process.poll() is not None for helper in helpers)


def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let helper processes encode small texts too."""
    monkeypatch.setattr("lm.data.text_file.PIECE_BYTES", 1000)
    monkeypatch.setattr(numbering_on_all_cores, "ALONE", 1)
    monkeypatch.setattr(numbering_on_all_cores, "cores", lambda: 2)


def test_what_a_helper_refuses_is_said_here(text: TextFiles, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared(monkeypatch)
    monkeypatch.setattr(Numbering, "part", lambda self, text: Part(np.zeros(1, np.uint32), TextSize(1, 1, 1)))
    with pytest.raises(UserError, match=r"data\.tokeniser\.language=xx"):
        encode_cached(text, VocabularyChoice(Punctuation(language="xx")))
    assert list(cache.iterdir()) == []


def test_a_helper_that_is_killed_is_said(text: TextFiles, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared(monkeypatch)
    ask = numbering_on_all_cores.Helper.ask

    def killed(self: numbering_on_all_cores.Helper, piece: str) -> None:
        self.process.kill()
        self.process.wait()
        ask(self, piece)

    monkeypatch.setattr(numbering_on_all_cores.Helper, "ask", killed)
    with pytest.raises(UserError, match="a process that encodes the text was killed"):
        encode_cached(text)
    assert list(cache.iterdir()) == []


def test_a_stop_ends_the_helpers(text: TextFiles, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared(monkeypatch)
    started: list[numbering_on_all_cores.Helper] = []
    start, calls = numbering_on_all_cores.started, iter(range(100))
    monkeypatch.setattr(numbering_on_all_cores, "started", lambda one: started.extend(start(one)) or started)

    def stop() -> None:
        if next(calls) == 9:
            raise Interrupted(2)

    with pytest.raises(Interrupted):
        encode_cached(text, between=stop)
    assert started
    assert all(helper.process.poll() is not None for helper in started)
    assert list(cache.iterdir()) == []
