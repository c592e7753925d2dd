"""Text in many files: folders, globs, lists, gzip and JSON Lines."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, Done
from hypothesis import example, given
from hypothesis import strategies as st

from lm.data.encoding import encode
from lm.data.source import SPLITS
from lm.data.sources.text_files import MOST_HELD_OUT, TextFiles
from lm.system.errors import UserError

LINES = [f"line {i} has {'many ' * (i % 7)}words é\n" for i in range(60)]
TEXT = "".join(LINES)


def texts(source: TextFiles) -> list[str]:
    return ["".join(source.pieces(split)) for split in SPLITS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files that hold TEXT in the order of their names: plain, gzip without a last line end, plain."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("".join(LINES[:25]))
    (tmp_path / "docs" / "b.txt.gz").write_bytes(gzip.compress("".join(LINES[25:40]).rstrip("\n").encode()))
    (tmp_path / "docs" / "c.txt").write_text("\ufeff" + "".join(LINES[40:]))
    (tmp_path / "docs" / "notes.md").write_text("not text of the corpus")
    return tmp_path / "docs"


@pytest.mark.parametrize("way", ["folder", "glob", "list"])
def test_many_files_are_one_text_in_order(folder: Path, way: str) -> None:
    named = {
        "folder": str(folder),
        "glob": f"{folder}/*.txt*",
        "list": [f"{folder}/a.txt", f"{folder}/b.txt.gz", f"{folder}/c.txt"],
    }[way]
    assert texts(TextFiles(named, named, named)) == [TEXT] * 3
    parts = texts(TextFiles(named, fractions=(0.5, 0.25, 0.25)))
    assert "".join(parts) == TEXT
    assert all(part.endswith("\n") for part in parts)
    assert len(parts[0]) == pytest.approx(len(TEXT) / 2, rel=0.1)


def test_a_list_keeps_its_order(folder: Path) -> None:
    named = [f"{folder}/c.txt", f"{folder}/a.txt"]
    assert texts(TextFiles(named, named, named))[0] == "".join(LINES[40:] + LINES[:25])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@given(
    cuts=st.lists(st.integers(1, 59), max_size=4, unique=True).map(sorted),
    share=st.floats(0.2, 0.7),
    compressed=st.booleans(),
)
@example(cuts=[1, 2, 44], share=0.4609375, compressed=False)
def test_where_files_end_does_not_change_the_splits(
    scratch: Path, cuts: list[int], share: float, compressed: bool
) -> None:
    names = []
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, 60], strict=True)):
        content = "".join(LINES[start:end]).encode()
        names.append(scratch / f"{number}{'.gz' if compressed else ''}")
        names[-1].write_bytes(gzip.compress(content) if compressed else content)
    one = scratch / "one"
    one.write_text(TEXT)
    fractions = (share, (1 - share) / 2, (1 - share) / 2)
    parts = texts(TextFiles([str(name) for name in names], fractions=fractions))
    assert parts == texts(TextFiles(one, fractions=fractions))
    assert "".join(parts) == TEXT


def test_json_lines_are_documents(tmp_path: Path) -> None:
    file = tmp_path / "docs.jsonl"
    rows = [{"id": i, "body": f"document {i}\r\nsecond line {i}"} for i in range(10)]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    expected = "".join(f"document {i}\nsecond line {i}\n" for i in range(10))
    assert texts(TextFiles(file, file, file, field="body"))[0] == expected
    parts = texts(TextFiles(file, fractions=(0.4, 0.3, 0.3), field="body"))
    assert "".join(parts) == expected
    with pytest.raises(UserError, match=r"docs.jsonl, line 1: .* in the field 'text'.*data.field=NAME"):
        texts(TextFiles(file, file, file, field="text"))
    for text in ("w \ud83d w", "w \0 w"):
        file.write_text("\n".join(map(json.dumps, [*rows[:2], {"body": text}])))
        with pytest.raises(UserError, match=r"docs.jsonl, line 3: "):
            texts(TextFiles(file, file, file, field="body"))
    with pytest.raises(UserError, match=r"is JSON Lines; name the field of each text: data\.field=text"):
        texts(TextFiles(file))
    file.write_text("\n".join([*map(json.dumps, rows[:4]), "{broken", json.dumps(rows[5])]))
    with pytest.raises(UserError, match=r"line 5: not sound JSON.*\{broken"):
        texts(TextFiles(file, file, file, field="body"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"caf\xe9 latin\n", r"3\.txt is not UTF-8 \(byte 3 is 0xe9\)"),
        (b"", r"3\.txt is empty"),
        (None, r"3\.txt does not exist"),
    ],
)
def test_a_fault_in_the_third_of_five_files_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    names = [tmp_path / f"{i}.txt" for i in range(1, 6)]
    for name in names:
        name.write_text(TEXT)
    if content is None:
        names[2].unlink()
    else:
        names[2].write_bytes(content)
    with pytest.raises(UserError, match=said):
        encode(TextFiles([str(name) for name in names]))


def test_a_truncated_gz_is_named(tmp_path: Path) -> None:
    file = tmp_path / "text.gz"
    whole = gzip.compress(TEXT.encode() * 50)
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"text\.gz is cut short"):
        encode(TextFiles(file))
    file.write_bytes(b"plain text\n" * 30)
    with pytest.raises(UserError, match=r"text\.gz is not a sound gzip file"):
        encode(TextFiles(file))


def test_an_empty_folder_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder without \.txt, \.jsonl or \.gz files"):
        encode(TextFiles(tmp_path))


def test_held_out_parts_of_a_large_text_are_limited(tmp_path: Path) -> None:
    file = tmp_path / "large.txt"
    with file.open("w") as large:
        large.writelines(f"{i} of some 22 million bytes\n" for i in range(700_000))
    train, valid, test = (sum(len(piece) for piece in TextFiles(file).pieces(split)) for split in SPLITS)
    assert train + valid + test == file.stat().st_size
    assert valid == pytest.approx(MOST_HELD_OUT, abs=50)
    assert test == pytest.approx(MOST_HELD_OUT, abs=50)


def test_a_folder_trains_and_its_files_are_told(folder: Path, call: Callable[..., Done], tmp_path: Path) -> None:
    settings = [*TINY, "trainer.limit_train_batches=2", "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run"]
    done = call("train", "data=text", f"data.train={folder}", *settings)
    assert done.code == 0, done.err
    assert f"from {folder}/a.txt, {folder}/b.txt.gz, {folder}/c.txt" in done.err
    listed = f"data.train=[{folder}/a.txt,{folder}/b.txt.gz]"
    done = call("train", "data=text", listed, *settings[:-1], f"hydra.run.dir={tmp_path}/second")
    assert done.code == 0, done.err
    assert f"from {folder}/a.txt, {folder}/b.txt.gz\n" in done.err


def test_only_json_lines_have_fields_in_a_mixture(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("plain words\n")
    (tmp_path / "b.jsonl").write_text('{"text": "of an object"}\n')
    source = TextFiles(tmp_path, tmp_path, tmp_path, field="text")
    assert "".join(source.pieces("train")) == "plain words\nof an object\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "a"', "line 2: not sound JSON"),
        ("null", "line 2: not a JSON object with a text in the field 'text'"),
        ('{"body": "a"}', "line 2: not a JSON object with a text in the field 'text'"),
        ('{"text": "\\ud800"}', "line 2: its text has a zero, or half of a character"),
    ],
)
def test_a_line_of_json_lines_that_is_wrong_is_named(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "fine"}}\n{line}\n')
    with pytest.raises(UserError, match=said):
        list(TextFiles(tmp_path, tmp_path, tmp_path, field="text").pieces("train"))
