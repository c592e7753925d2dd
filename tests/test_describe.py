"""What describe.py tells of a corpus, counted by hand."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Done, needs_ptb

from lm.data.sources import text
from lm.studies.description.figures import figures, unknown_by_size

TRAIN = "the army said it is here\nso it is\n\nthe café is here at last , they said\n"
VALID = "the army said it is here\nso it was\n"
TEST = "zorp zorp blik\nthe café is here at last , they said\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for split, content in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
        (tmp_path / split).write_text(content)
    return {split: str(tmp_path / split) for split in ("train", "valid", "test")}


def test_counts_by_hand(files: dict[str, str]) -> None:
    found = figures(text(**files, batch_size=1, window=2))
    train, test = found.splits["train"], found.splits["test"]
    assert (train.tokens, train.words, train.lines, train.types) == (22, 22, 4, 13)
    assert (train.characters, train.bytes) == (len(TRAIN), len(TRAIN.encode()))
    assert train.lengths.counts == {1: 1, 4: 1, 7: 1, 10: 1}
    assert (train.lengths.mean, train.lengths.median, train.lengths.longest) == (5.5, 4, 10)
    assert (train.unknown, test.unknown, test.unknown_types) == (0, 3, 2)
    assert test.frequent_unknown == [("zorp", 2), ("blik", 1)]
    assert found.splits["valid"].frequent_unknown == [("was", 1)]
    assert (found.repeated["valid"].long, found.repeated["valid"].repeated) == (1, 1)
    assert found.repeated_lines == {
        "valid": ["the army said it is here"],
        "test": ["the café is here at last , they said"],
    }


def test_unknown_at_each_size_is_what_a_vocabulary_of_that_size_leaves_out() -> None:
    train = Counter({f"w{i}": 400 - i for i in range(300)} | {"<eos>": 1000})
    other = Counter({"w0": 5, "w150": 3, "new": 2, "<eos>": 10})
    curve = unknown_by_size({"train": train, "valid": other, "test": other})
    assert list(curve) == [100, 200, 302]
    assert curve[302]["train"] == pytest.approx(0, abs=1e-12)
    assert curve[302]["valid"] == pytest.approx(2 / 20)
    assert curve[100]["valid"] == pytest.approx(5 / 20)
    assert curve[100]["train"] == pytest.approx(sum(400 - i for i in range(98, 300)) / train.total())


def test_the_command_prints_and_writes(files: dict[str, str], call: Callable[..., Done], tmp_path: Path) -> None:
    named = [f"data.{split}={path}" for split, path in files.items()]
    small = ["data.batch_size=1", "data.window=2"]
    done = call("describe", "data=text", *named, *small, f"out={tmp_path}/out")
    assert done.code == 0, done.err
    assert "most frequent unknown words of the test text: zorp 2, blik 1" in done.out
    assert "valid: 1 of 1 lines of 5 words or 20 characters or more (100.0%) are in the training text too" in done.out
    written = json.loads((tmp_path / "out" / "description.json").read_text())
    assert written["splits"]["train"]["tokens"] == 22
    assert (tmp_path / "out" / "description.png").read_bytes().startswith(b"\x89PNG")
    done = call("describe", "data=text", *named, *small, "data/tokeniser=characters")
    assert "vocabulary: 19 characters" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data=text", "data.train=none.txt"], "none.txt does not exist"),
        (["data=book"], "data=book: there is no such option"),
        (["model.hidden_size=3"], "model"),
        (["data=synthetic", "out={file}"], "is a file; name a folder"),
        (["data=synthetic", "+foo=1"], "foo: there is no such group or setting"),
    ],
)
def test_mistakes(arguments: list[str], said: str, call: Callable[..., Done], files: dict[str, str]) -> None:
    done = call("describe", *(argument.format(file=files["train"]) for argument in arguments))
    assert done.code == 1
    assert said in done.err
    assert done.err.count("\n") == 1


@needs_ptb
def test_the_penn_treebank_is_as_it_is_known(call: Callable[..., Done]) -> None:
    out = call("describe").out
    assert "tokens                 929,589   73,760   82,430" in out
    assert "unknown tokens          45,020    3,485    4,794" in out


def test_a_split_that_ends_within_a_character_is_described(
    call: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "enwik8").mkdir()
    (tmp_path / "enwik8/enwik8").write_bytes("é".encode() * 101)  # 202 bytes: the cuts are at 181 and 191
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    done = call("describe", "data=enwik8")
    assert done.code == 0, done.err
    assert re.search(r"bytes +181 +10 +11", done.out)
