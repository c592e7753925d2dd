"""The published corpora: small copies in each layout, splits, tokens, vocabulary, counts, downloads and refusals."""

from __future__ import annotations

import hashlib
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PTB, TINY, Done, needs_ptb

from lm.data import sources
from lm.data.corpus import Corpus
from lm.data.source import SPLITS
from lm.data.sources import penn_treebank_characters, wikipedia_bytes, wikitext
from lm.data.sources.published_counts import Counts
from lm.data.tokenisers import EOS, UNK
from lm.system.errors import UserError

CORPORA = ("wikitext2", "wikitext103", "enwik8", "text8", "ptb_characters")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty data folder and an empty cache, no network, and no warning about a small copy's counts."""

    def no_network(url: str, *_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("pooch.retrieve", no_network)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* is not as published")
        yield


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zipped(path: Path, members: dict[str, str | bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def parquet(path: Path, texts: list[str]) -> None:
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, which is no dependency: pip install pyarrow")
    from pyarrow.parquet import write_table

    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(arrow.table({"text": texts}), path)


def made(name: str) -> Corpus:
    return getattr(sources, name)(batch_size=1, window=2)


def read(corpus: Corpus) -> dict[str, list[str]]:
    """The tokens of each split, by way of their ids."""
    return {split: [corpus.vocab.words[i] for i in corpus.ids[split].tolist()] for split in SPLITS}


# WikiText

WIKI = {
    "train": " \n = Valkyria <unk> = \n \n the @-@ the game \n",
    "valid": " \n the game 字 \n",
    "test": " the the <unk> \n \n",
}
WIKI_TOKENS = {
    "train": [EOS, "=", "Valkyria", UNK, "=", EOS, EOS, "the", "@-@", "the", "game", EOS],
    "valid": [EOS, "the", "game", UNK, EOS],
    "test": ["the", "the", UNK, EOS, EOS],
}


def wiki_files(folder: Path, number: str, layout: str) -> None:
    for split, text in WIKI.items():
        hugging_face = "validation" if split == "valid" else split
        rows = [row if row.strip() else "" for row in text.splitlines(keepends=True)]
        if layout == "published":
            write(folder / f"wiki.{split}.tokens", text)
        elif layout == "unpacked":
            write(folder / f"wikitext-{number}" / f"wiki.{split}.tokens", text)
        elif layout == "renamed":
            write(folder / f"{split}.txt", text)
        elif layout == "parquet":
            cut = 2 if split == "train" else len(rows)  # WikiText-103's training text has two files
            for part, some in enumerate(filter(None, [rows[:cut], rows[cut:]])):
                parquet(folder / f"wikitext-{number}-v1" / f"{hugging_face}-0000{part}-of-00002.parquet", some)
    if layout == "zip":
        members = {f"wikitext-{number}/wiki.{split}.tokens": text for split, text in WIKI.items()}
        zipped(folder / f"wikitext-{number}-v1.zip", members)


@pytest.mark.parametrize("layout", ["published", "unpacked", "renamed", "zip", "parquet"])
@pytest.mark.parametrize("number", ["2", "103"])
def test_wikitext_in_each_layout(data: Path, number: str, layout: str) -> None:
    wiki_files(data / f"wikitext{number}", number, layout)
    corpus = made(f"wikitext{number}")
    assert read(corpus) == WIKI_TOKENS
    assert sorted(corpus.vocab.words) == sorted({EOS, UNK, "=", "Valkyria", "the", "@-@", "game"})
    assert corpus.vocab.writes_unk
    assert all(path.is_file() for paths in corpus.source.files.values() for path in paths)


@pytest.mark.parametrize("layout", ["files", "folder", "parquet"])
def test_rare_words_of_raw_wikitext_become_unk(data: Path, layout: str) -> None:
    raw = {"train": " a a b \n a b b c \n", "valid": " a c d \n", "test": " b \n"}
    for split, text in raw.items():
        if layout == "parquet":
            hugging_face = "validation" if split == "valid" else split
            rows = text.splitlines(keepends=True)
            parquet(data / "wikitext2/wikitext-2-raw-v1" / f"{hugging_face}-00000-of-00001.parquet", rows)
        else:
            write(data / "wikitext2" / ("" if layout == "files" else "wikitext-2-raw") / f"wiki.{split}.raw", text)
    corpus = made("wikitext2")
    # `<eos>` occurs twice, and is kept all the same.
    assert read(corpus) == {
        "train": ["a", "a", "b", EOS, "a", "b", "b", UNK, EOS],
        "valid": ["a", UNK, UNK, EOS],
        "test": ["b", EOS],
    }
    wiki_files(data / "wikitext2", "2", "published")
    assert read(made("wikitext2")) == WIKI_TOKENS  # preferred to the raw text


def test_a_smaller_vocabulary_can_be_asked_for(data: Path) -> None:
    wiki_files(data / "wikitext2", "2", "published")
    corpus = sources.wikitext2(batch_size=1, window=2, min_count=2)
    assert set(corpus.vocab.words) == {EOS, UNK, "=", "the"}


def test_parquet_without_pyarrow_is_one_sentence(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "validation", "test"):
        write(data / f"wikitext2/wikitext-2-v1/{split}-00000-of-00001.parquet", b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"-00000-of-00001\.parquet is a Parquet file.*: pip install pyarrow$"):
        made("wikitext2").prepare()


def test_a_damaged_parquet_file_is_named(data: Path) -> None:
    parquet(data / "wikitext2/train-0.parquet", ["a b\n"])
    for split in ("train", "validation", "test"):
        write(data / f"wikitext2/{split}-0.parquet", b"PAR1 no more PAR1")
    with pytest.raises(UserError, match=r"-0\.parquet is not a sound Parquet file"):
        made("wikitext2").prepare()


# enwik8 and text8

BYTES = "<page>\n é 字\r\n".encode() * 9 + "<page> é".encode()  # the cuts are within lines


def byte_tokens(content: bytes) -> list[str]:
    return [EOS if byte == 10 else chr(byte) if 32 <= byte < 127 else f"<0x{byte:02X}>" for byte in content]


def cut(content: bytes) -> dict[str, bytes]:
    first, second = len(content) * 90 // 100, len(content) * 95 // 100
    return {"train": content[:first], "valid": content[first:second], "test": content[second:]}


@pytest.mark.parametrize("layout", ["published", "zip", "prepared", "parquet"])
@pytest.mark.parametrize("piece", [7, 1 << 22])
def test_enwik8_is_bytes_in_each_layout(data: Path, layout: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikipedia_bytes, "PIECE_BYTES", piece)
    if layout == "published":
        write(data / "enwik8/enwik8", BYTES)
    elif layout == "zip":
        zipped(data / "enwik8/enwik8.zip", {"enwik8": BYTES})
    elif layout == "prepared":
        for split, part in cut(BYTES).items():
            write(data / f"enwik8/{split}.txt.raw", part)
    else:
        parquet(data / "enwik8/enwik8-raw/train-00000-of-00001.parquet", [BYTES.decode()])
    corpus = made("enwik8")
    assert read(corpus) == {split: byte_tokens(part) for split, part in cut(BYTES).items()}
    assert len(corpus.vocab) == 257  # 256 bytes and `<unk>`
    assert corpus.tokens == {split: len(part) for split, part in cut(BYTES).items()}  # no `<eos>` where a split ends


@pytest.mark.parametrize("layout", ["published", "zip", "prepared", "parquet"])
def test_text8_is_characters_in_each_layout(data: Path, layout: str) -> None:
    content = b" anarchism originated as a term of abuse" * 10
    for split, part in cut(content).items():
        if layout == "prepared":
            write(data / f"text8/{split}.txt.raw", part)
        elif layout == "parquet":
            name = "validation" if split == "valid" else split
            parquet(data / f"text8/data/{name}-00000-of-00001.parquet", [part.decode()])
    if layout == "published":
        write(data / "text8/text8", content)
    elif layout == "zip":
        zipped(data / "text8/text8.zip", {"text8": content})
    corpus = made("text8")
    assert read(corpus) == {split: list(part.decode()) for split, part in cut(content).items()}
    assert EOS not in read(corpus)["train"]


@pytest.mark.parametrize("name", ["enwik8", "text8"])
def test_a_file_of_the_right_size_has_to_have_the_right_checksum(
    data: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"one hundred bytes of this and that, or fewer"
    path = write(data / name / name, content)
    monkeypatch.setattr(wikipedia_bytes, "BYTES", len(content))
    with pytest.raises(UserError, match=rf"{path} is not {name}: its (sha256|md5) is \w+, not {'2b4972|3bea19'}"):
        made(name).prepare()
    algorithm = wikipedia_bytes.CHECKSUM[name].partition(":")[0]
    known = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    monkeypatch.setitem(wikipedia_bytes.CHECKSUM, name, known)
    assert sum(made(name).tokens.values()) == len(content)


def test_an_archive_fills_up_what_is_missing_and_changes_nothing(data: Path) -> None:
    wiki_files(data / "wikitext2", "2", "zip")
    write(data / "wikitext2/wiki.train.tokens", " a b c \n")
    corpus = made("wikitext2")
    assert read(corpus)["train"] == ["a", "b", "c", EOS]
    assert corpus.tokens["valid"] == 5


# The Penn Treebank as characters


@pytest.mark.parametrize("folder", ["ptb_characters", "ptb_characters/simple-examples/data"])
def test_characters_of_the_penn_treebank(data: Path, folder: str) -> None:
    texts = {"train": " n o _ i t _ < u n k > \n b y _ N \n", "valid": " i t \n", "test": " $ _ N \n"}
    for split, text in texts.items():
        write(data / folder / f"ptb.char.{split}.txt", text)
    assert read(made("ptb_characters")) == {
        "train": [*"no it <unk>", EOS, *"by N", EOS],
        "valid": [*"it", EOS],
        "test": [UNK, *" N", EOS],
    }


@needs_ptb
def test_the_words_of_the_penn_treebank_give_its_characters(data: Path) -> None:
    data.mkdir()
    (data / "ptb").symlink_to(PTB.resolve())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the counts are right
        corpus = made("ptb_characters")
        corpus.prepare()
    assert corpus.tokens == {"train": 5_017_482, "valid": 393_042, "test": 442_423}
    assert len(corpus.vocab) == 51  # 50 symbols, and `<unk>`, which is no character
    assert corpus.unknown == {"train": 0, "valid": 0, "test": 0}
    lines = corpus.vocab.decode(corpus.ids["valid"].tolist()).replace(" ", "_").split("\n")[:-1]
    write(data / "ptb_characters/ptb.char.valid.txt", "".join(f" {' '.join(line)} \n" for line in lines))
    again = made("ptb_characters")
    assert again.source.files["valid"] == [data / "ptb_characters/ptb.char.valid.txt"]
    assert np.array_equal(again.split_ids("valid", corpus.vocab), corpus.ids["valid"])


# Counts


@pytest.mark.parametrize(
    ("published", "said"),
    [
        (Counts({"train": 12, "valid": 5, "test": 5}, 7), None),
        (Counts({"train": 2000, "valid": 5, "test": 4}, 7), "12 train tokens, published are 2,000; 5 test tokens, pub"),
        (Counts({"train": 12, "valid": 5, "test": 5}, 33_278), "7 different tokens, published are 33,278"),
    ],
)
def test_other_counts_than_the_published_ones_are_a_warning(
    data: Path, published: Counts, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiki_files(data / "wikitext2", "2", "published")
    monkeypatch.setitem(wikitext.COUNTS, 2, published)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        corpus = made("wikitext2")
        corpus.prepare()
        assert corpus.vocab == corpus.encoded.vocab  # said once
    messages = [str(warning.message) for warning in caught]
    if said is None:
        assert messages == []
    else:
        [message] = messages
        assert message.startswith(f"WikiText-2 is not as published in {data / 'wikitext2'}: {said}")
        assert message.endswith("its perplexities compare with no published ones")


def test_the_published_counts_are_these() -> None:
    words = {"train": 2_088_628, "valid": 217_646, "test": 245_569}
    assert wikitext.COUNTS[2] == Counts(words, 33_278)
    assert wikitext.COUNTS[103] == Counts({**words, "train": 103_227_021}, 267_735)
    parts = {"train": 90_000_000, "valid": 5_000_000, "test": 5_000_000}
    assert {"enwik8": Counts(parts), "text8": Counts(parts, 27)} == wikipedia_bytes.COUNTS
    assert penn_treebank_characters.COUNTS.words == 50
    for split, span in {"train": (0, 90), "valid": (90, 95), "test": (95, 100)}.items():
        start, end = wikipedia_bytes._span(split, 100_000_000, uncut=True)
        assert (start, end) == (span[0] * 1_000_000, span[1] * 1_000_000)


# Downloads and refusals


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_that_cannot_be_had_says_where_it_looked_and_what_to_do(data: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        made(name).prepare()
    said = str(caught.value)
    first = {"enwik8": "enwik8, ", "text8": "text8, ", "ptb_characters": "ptb.char.train.txt, "}
    assert f"the train text is not in {data / name} (looked for: {first.get(name, 'wiki.train.tokens, ')}" in said
    assert "could not be downloaded from http" in said
    assert f"or set LM_DATA_DIR to the folder that contains `{name}`" in said
    assert "data=pydoc, or data=text data.train=FILE" in said
    if name == "ptb_characters":
        assert f"its words are not at {data / 'ptb/ptb.train.txt'}" in said
    if name.startswith("wikitext"):
        number = name.removeprefix("wikitext")
        assert f"wiki.train.tokens, wiki.valid.tokens, wiki.test.tokens, or wikitext-{number}-v1.zip, there" in said


def test_without_a_data_folder_the_cache_is_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LM_DATA_DIR")
    wiki_files(tmp_path / "cache/wikitext2", "2", "published")
    assert read(made("wikitext2")) == WIKI_TOKENS


@pytest.mark.parametrize("name", ["wikitext2", "wikitext103", "enwik8", "text8"])
def test_an_archive_is_downloaded_checked_and_unpacked(data: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def retrieve(url: str, known_hash: str, fname: str, path: Path, **_: Any) -> None:
        asked.append((url, known_hash))
        number = name.removeprefix("wikitext")
        wiki = {f"wikitext-{number}/wiki.{split}.tokens": text for split, text in WIKI.items()}
        zipped(path / fname, wiki if name.startswith("wikitext") else {name: b"some text of no great size " * 3})

    monkeypatch.setattr("pooch.retrieve", retrieve)
    corpus = made(name)
    corpus.prepare()
    known = {
        "wikitext2": ("https://wikitext.smerity.com/wikitext-2-v1.zip", "md5:542ccefacc6c27f945fb54453812b3cd"),
        "wikitext103": ("https://wikitext.smerity.com/wikitext-103-v1.zip", "md5:9ddaacaf6af0710eda8c456decff7832"),
    }
    assert len(asked) == 1
    assert asked[0] == known.get(name, (f"https://mattmahoney.net/dc/{name}.zip", asked[0][1]))
    assert all(path.is_file() for paths in corpus.source.files.values() for path in paths)


@pytest.mark.parametrize("content", [b"not a zip archive", None])
def test_a_wrong_archive_is_named(data: Path, content: bytes | None) -> None:
    path = data / "enwik8/enwik8.zip"
    if content is None:
        zipped(path, {"other": "text"})
    else:
        write(path, content)
    with pytest.raises(UserError, match=rf"{path} is not the published archive: .*; delete it"):
        made("enwik8").prepare()
    assert not (data / "enwik8/enwik8").exists()


# As commands


@pytest.mark.parametrize("name", ["wikitext2", "enwik8"])
def test_a_small_copy_trains_and_is_found_again_elsewhere(
    name: str, data: Path, call: Callable[..., Done], tmp_path: Path
) -> None:
    for split in SPLITS:
        write(data / f"wikitext2/wiki.{split}.tokens", WIKI["train"] * 40)
    write(data / "enwik8/enwik8", BYTES * 20)
    run = tmp_path / "run"
    settings = [*TINY, "trainer.limit_train_batches=2", "free_running=null", f"hydra.run.dir={run}"]
    warnings.filterwarnings("default", message=".* is not as published")
    done = call("train", f"data={name}", *settings)
    assert done.code == 0, done.err
    assert f"from {data / name}" in done.err
    assert f"is not as published in {data / name}" in done.err
    data.rename(tmp_path / "elsewhere")
    lost = call("evaluate", f"checkpoint={run}")
    assert lost.code == 1
    assert "could not be downloaded" in lost.err
    assert "data_from=DIR" in lost.err
    found = call("evaluate", f"checkpoint={run}", f"data_from={tmp_path / 'elsewhere' / name}")
    assert found.code == 0, found.err
