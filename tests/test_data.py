"""Sources, vocabulary, encoding and its cache, streams and windows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import needs_ptb
from hypothesis import given
from hypothesis import strategies as st

from lm.data.encoding import encode, encode_cached
from lm.data.source import SPLITS
from lm.data.sources.markov_chain import MarkovSource
from lm.data.sources.penn_treebank import PennTreebank
from lm.data.sources.pydoc_topics import PydocTopics
from lm.data.sources.text_files import TextFiles
from lm.data.streams import RandomWindows, Windows, one_stream, to_streams
from lm.data.tokenisers import EOS, UNK, Characters
from lm.data.vocabulary import Vocab
from lm.data.vocabulary_choice import VocabularyChoice
from lm.system.errors import UserError
from lm.system.files import user_cache


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Vocabulary


def test_ids_follow_first_appearance_and_rare_words_become_unk(tmp_path: Path) -> None:
    file = write(tmp_path / "t", "b a b\nrare a c c\n")
    corpus = encode(TextFiles(file, file, file), VocabularyChoice(min_count=2))
    assert corpus.vocab.words == ("b", "a", EOS, UNK, "c")
    assert corpus.ids["train"].tolist() == [0, 1, 0, 2, 3, 1, 4, 4, 2]
    assert corpus.vocab.decode(corpus.ids["train"].tolist()) == f"b a b\n{UNK} a c c\n"


def test_vocab_size_keeps_the_most_frequent_words(tmp_path: Path) -> None:
    file = write(tmp_path / "t", "x y y z z z\n")
    vocab = encode(TextFiles(file, file, file), VocabularyChoice(vocab_size=4)).vocab
    assert len(vocab) == 4
    assert {"y", "z", EOS, UNK} == set(vocab.words)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_words_survive_the_way_through_ids(text: str) -> None:
    words = text.replace("\n", " ").split()
    vocab = Vocab(list(dict.fromkeys([*words, EOS, UNK])))
    assert vocab.decode(vocab.encode(" ".join(words)).tolist()) == " ".join(words).replace(EOS, "\n")


@given(st.text(alphabet="abcß字 \n", max_size=60))
def test_characters_survive_the_way_through_ids(text: str) -> None:
    vocab = Vocab([*"abcß字 ", EOS, UNK], Characters())
    assert vocab.decode(vocab.encode(text).tolist()) == text


def test_ids_take_the_smallest_integer_type() -> None:
    assert Vocab([EOS, UNK, *map(str, range(200))]).dtype == np.uint8
    assert Vocab([EOS, UNK, *map(str, range(300))]).dtype == np.uint16


# Sources


def test_one_file_is_split_at_line_ends_without_loss(tmp_path: Path) -> None:
    text = "".join(f"line {i} é\n" for i in range(100))
    source = TextFiles(write(tmp_path / "t", text), fractions=(0.5, 0.25, 0.25))
    parts = ["".join(source.pieces(split)) for split in SPLITS]
    assert "".join(parts) == text
    assert all(part.endswith("\n") for part in parts)
    assert len(parts[0]) == pytest.approx(len(text) / 2, rel=0.05)


def test_text_is_read_in_pieces_without_cutting_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"wörd{i} 字\r\n" for i in range(50)) + "last line without end"
    file = write(tmp_path / "t", b"\xef\xbb\xbf" + text.encode())
    whole = encode(TextFiles(file, file, file))
    monkeypatch.setattr("lm.data.text_file.PIECE_BYTES", 37)
    pieces = encode(TextFiles(file, file, file))
    assert pieces.vocab == whole.vocab
    assert pieces.ids["train"].tolist() == whole.ids["train"].tolist()
    assert whole.vocab.words[0] == "wörd0"
    assert whole.ids["train"][-1] == whole.vocab.eos


@pytest.mark.parametrize(
    ("content", "named"),
    [(b"", "is empty"), (b"a\0b\n", "not text"), (b"caf\xe9 latin\n" * 9, "not UTF-8"), (None, "does not exist")],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes | None, named: str) -> None:
    path = tmp_path / "corpus.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=named) as caught:
        encode(TextFiles(path, path, path))
    assert str(path) in str(caught.value)


def test_two_files_are_refused_with_the_missing_one_named(tmp_path: Path) -> None:
    file = write(tmp_path / "t", "a b\n")
    with pytest.raises(UserError, match=r"data\.test is not"):
        TextFiles(file, valid=file)


def test_pydoc_has_text_of_which_nothing_comes_back_in_the_test_split() -> None:
    texts = {split: "".join(PydocTopics().pieces(split)).splitlines() for split in SPLITS}
    assert sum(len(line.split()) for line in texts["train"]) > 30_000
    assert not set(texts["train"]) & set(texts["test"])


def test_markov_nats_by_hand_and_entropy_rate_agree_in_the_long_run() -> None:
    source = MarkovSource(words=5, tokens=50_000)
    tokens = "".join(source.pieces("train")).replace("\n", f" {EOS} ").split()
    nats = source.nats(tokens)
    first = -np.log(source.transitions[source.words.index(tokens[0]), source.words.index(tokens[1])])
    assert nats[0] == pytest.approx(first)
    assert nats.mean() == pytest.approx(source.entropy_rate(), rel=0.02)


@needs_ptb
def test_ptb_is_as_the_classic_exercise_numbers_it() -> None:
    corpus = encode(PennTreebank())
    assert {split: len(ids) for split, ids in corpus.ids.items()} == {"train": 929589, "valid": 73760, "test": 82430}
    assert len(corpus.vocab) == 10_000
    assert corpus.vocab.unk == 26
    streams = to_streams(corpus.ids["train"], 20)
    assert streams.shape == (20, 46_479)
    assert streams[0, -3:].tolist() == [152, 4955, 4150]
    assert streams[1, :3].tolist() + streams[1, -3:].tolist() == [93, 718, 590, 170, 6784, 133]
    assert streams[19, -3:].tolist() == [9999, 119, 1143]
    assert len(Windows(corpus.ids["train"], 20, 30)) == 1549


@needs_ptb
def test_a_changed_ptb_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ptb").mkdir()
    for split in SPLITS:
        write(tmp_path / "ptb" / f"ptb.{split}.txt", "not the treebank\n")
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError, match="sha256"):
        encode(PennTreebank())


def test_ptb_that_cannot_be_had_says_where_it_looked_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(url: str, **_: object) -> None:
        raise OSError("no route")

    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("pooch.retrieve", no_network)
    with pytest.raises(UserError, match="data=pydoc") as caught:
        encode_cached(PennTreebank())
    assert str(tmp_path / "ptb" / "ptb.train.txt") in str(caught.value)


# The cache


def cached_folders() -> list[Path]:
    return [path for path in (user_cache() / "encoded").iterdir() if not path.name.startswith(".")]


def test_the_cache_answers_again_and_notices_every_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    file = write(tmp_path / "t", "a b c\n" * 20)
    first = encode_cached(TextFiles(file))
    monkeypatch.setattr("lm.data.encoding.encode", lambda *_: pytest.fail("encoded again"))
    again = encode_cached(TextFiles(file))
    assert again.vocab == first.vocab
    assert isinstance(again.ids["train"], np.memmap)
    monkeypatch.undo()
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"lower data\.min_count"):
        encode_cached(TextFiles(file), VocabularyChoice(min_count=21))
    write(file, "a b c d\n" * 20)
    assert len(encode_cached(TextFiles(file)).vocab) == 6


@pytest.mark.parametrize("damage", ["cut", "flipped", "no vocabulary", "other vocabulary"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    file = write(tmp_path / "t", "a b c\n" * 50)
    first = encode_cached(TextFiles(file))
    (folder,) = cached_folders()
    if damage == "cut":
        data = (folder / "train.ids").read_bytes()
        (folder / "train.ids").write_bytes(data[:-20])
    elif damage == "flipped":
        data = (folder / "train.ids").read_bytes()
        (folder / "train.ids").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "no vocabulary":
        (folder / "about.json").unlink()
    else:
        (folder / "about.json").write_text(json.dumps({"vocab": {"words": ["a"], "tokeniser": {}}, "splits": {}}))
    again = encode_cached(TextFiles(file))
    assert again.vocab == first.vocab
    assert again.ids["train"].tolist() == encode(TextFiles(file)).ids["train"].tolist()


def test_an_unwritable_cache_warns_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_CACHE_DIR", str(write(tmp_path / "a-file", "x")))
    file = write(tmp_path / "t", "a b c\n" * 50)
    with pytest.warns(UserWarning, match="cannot be stored"):
        assert len(encode_cached(TextFiles(file)).vocab) == 5


# Streams and windows


@given(length=st.integers(10, 200), batch=st.integers(1, 5), window=st.integers(1, 12))
def test_windows_read_each_stream_on_without_gap_or_overlap(length: int, batch: int, window: int) -> None:
    ids = np.arange(length, dtype=np.uint16)
    if length // batch <= window:
        with pytest.raises(UserError, match="too few"):
            Windows(ids, batch, window)
        return
    windows = list(Windows(ids, batch, window))
    read = torch.cat([w.inputs for w in windows], dim=1)
    streams = torch.from_numpy(to_streams(ids, batch).astype(np.int64))
    torch.testing.assert_close(read, streams[:, : read.shape[1]])
    for k, w in enumerate(windows):
        assert w.reset.any() == (k == 0)
        assert w.inputs.shape == w.targets.shape == (batch, window)
        torch.testing.assert_close(w.targets, w.inputs + 1)
    left_over = streams.shape[1] - 1 - read.shape[1]
    assert 0 <= left_over < window


@given(length=st.integers(2, 100), window=st.integers(1, 40))
def test_evaluation_scores_every_token_but_the_first_once(length: int, window: int) -> None:
    targets = torch.cat([w.targets for w in one_stream(np.arange(length), window)], dim=1)
    assert targets.tolist() == [list(range(1, length))]


def test_windows_resume_after_the_last_one_handed_out() -> None:
    windows = Windows(np.arange(100), 2, 7)
    reader = iter(windows)
    handed = [next(reader) for _ in range(3)]
    again = Windows(np.arange(100), 2, 7)
    again.load_state_dict(windows.state_dict())
    rest = list(again)
    assert len(handed) + len(rest) == len(windows)
    assert rest[0].inputs[0, 0] == handed[-1].targets[0, -1]
    assert len(list(again)) == len(windows)  # the next epoch is whole


@given(
    length=st.integers(100, 3000), batch=st.integers(1, 4), window=st.integers(1, 90), seed=st.integers(0, 2**32 - 1)
)
def test_random_windows_read_on_without_gap_and_each_epoch_has_as_many(
    length: int, batch: int, window: int, seed: int
) -> None:
    ids = np.arange(length, dtype=np.uint16)
    if length // batch <= window:
        with pytest.raises(UserError, match="too few"):
            RandomWindows(ids, batch, window, seed)
        return
    windows = RandomWindows(ids, batch, window, seed)
    streams, orders = torch.from_numpy(to_streams(ids, batch).astype(np.int64)), []
    for _ in range(2):
        epoch = list(windows)
        windows.rewind()
        assert len(epoch) == len(windows)
        read = torch.cat([w.inputs for w in epoch], dim=1)
        torch.testing.assert_close(read, streams[:, : read.shape[1]])
        assert 0 <= streams.shape[1] - 1 - read.shape[1] < max(RandomWindows.MINIMUM, 1)
        assert [bool(w.reset.any()) for w in epoch] == [True] + [False] * (len(epoch) - 1)
        orders.append([w.targets.shape[1] for w in epoch])
        assert min(orders[-1]) >= min(RandomWindows.MINIMUM, streams.shape[1] - 1)
        assert windows.mean_length == pytest.approx(sum(orders[-1]) / len(epoch))
    assert sorted(orders[0]) == sorted(orders[1])
    again = RandomWindows(ids, batch, window, seed)
    assert [w.targets.shape[1] for w in again] == orders[0]


def test_random_lengths_have_the_published_distribution_and_epochs_differ() -> None:
    windows = RandomWindows(np.zeros(3_000_000, dtype=np.uint8), 1, 70, seed=3)
    lengths = np.array([w.targets.shape[1] for w in windows])
    short = lengths[lengths < 52]
    assert len(short) / len(lengths) == pytest.approx(0.05, abs=0.005)
    assert short.mean() == pytest.approx(34.5, abs=0.5)  # rounded down
    assert lengths[lengths >= 52].mean() == pytest.approx(69.5, abs=0.2)
    assert lengths[lengths >= 52].std() == pytest.approx(5, abs=0.2)
    windows.rewind()
    assert [w.targets.shape[1] for w in windows] != lengths.tolist()
    assert RandomWindows(np.zeros(30_000), 1, 70, seed=4)[0].targets.shape != windows[0].targets.shape


@given(taken=st.integers(0, 12), epochs=st.integers(0, 2))
def test_random_windows_resume_after_the_last_one_handed_out(taken: int, epochs: int) -> None:
    windows, again = (RandomWindows(np.arange(4000), 3, 60, seed=1) for _ in range(2))
    for _ in range(epochs):
        list(windows)
        windows.rewind()
    reader = iter(windows)
    for _ in range(taken):
        next(reader)
    again.load_state_dict(windows.state_dict())
    again.epoch = windows.epoch
    for one, other in zip(reader, again, strict=True):
        assert torch.equal(one.inputs, other.inputs)
    windows.rewind()
    again.rewind()
    assert torch.equal(windows[2].inputs, again[2].inputs)


@pytest.mark.parametrize(("batch", "window", "setting"), [(0, 5, "batch_size"), (2, -1, "window")])
def test_sizes_below_one_are_refused(batch: int, window: int, setting: str) -> None:
    with pytest.raises(UserError, match=f"data.{setting} must be at least 1"):
        Windows(np.arange(100), batch, window)
