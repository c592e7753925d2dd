"""A run's text is known by its checksum, not by its place: moved files are found, other texts are refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, Done, Run, configure, resume

from lm.commands.evaluate import evaluate
from lm.data.encoding import encode_cached
from lm.data.source import SPLITS
from lm.data.sources.markov_chain import MarkovSource
from lm.data.sources.text_files import TextFiles
from lm.runs.trained import load
from lm.system.errors import UserError
from lm.system.file_hash import content_hash

SETTINGS = [*TINY, "trainer.limit_train_batches=4", "trainer.max_epochs=1", "accelerator=cpu", "free_running=null"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "old").mkdir()
    chain = MarkovSource(words=30, tokens=3000)
    paths = {split: tmp_path / "old" / f"{split}.txt" for split in SPLITS}
    for split, path in paths.items():
        path.write_text("".join(chain.pieces(split)))
    return paths


@pytest.fixture
def moved(files: dict[str, Path], train: Callable[..., Run], tmp_path: Path) -> Run:
    """A run whose three files have moved from old/ to new/ since."""
    run = train("data=text", *(f"data.{split}={path}" for split, path in files.items()), *SETTINGS)
    (tmp_path / "old").rename(tmp_path / "new")
    return run


def swapped_lines(path: Path) -> None:
    """Another text of the same length and vocabulary."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(reversed(lines)))


def figures(tmp_path: Path, run: Run, *settings: str) -> dict[str, float]:
    out = tmp_path / "figures.json"
    evaluate(configure("evaluate", f"checkpoint={run.dir}", f"out={out}", "accelerator=cpu", *settings))
    found: dict[str, float] = json.loads(out.read_text())
    return found


def test_a_split_is_evaluated_from_its_new_place_alone(moved: Run, tmp_path: Path) -> None:
    (tmp_path / "new" / "train.txt").unlink()
    (tmp_path / "new" / "valid.txt").unlink()
    said = moved.result["test"]["nats"]
    for setting in (f"data.test={tmp_path}/new/test.txt", f"data_from={tmp_path}/new"):
        assert figures(tmp_path, moved, setting)["nats"] == pytest.approx(said, rel=1e-6)


@pytest.mark.parametrize("content", [b"", b"caf\xe9\n", b"another text\n" * 500])
def test_a_fault_in_another_splits_file_does_not_matter(moved: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "new" / "train.txt").write_bytes(content)
    said = moved.result["test"]["nats"]
    assert figures(tmp_path, moved, f"data_from={tmp_path}/new")["nats"] == pytest.approx(said, rel=1e-6)


def test_where_a_text_was_looked_for_is_told(moved: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path}/old/test.txt does not exist.*data_from=DIR"):
        figures(tmp_path, moved)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=rf"{tmp_path}/empty/test.txt does not exist"):
        figures(tmp_path, moved, f"data_from={tmp_path}/empty")
    with pytest.raises(UserError, match=r"data_from: .*nowhere is not a folder"):
        figures(tmp_path, moved, f"data_from={tmp_path}/nowhere")


def test_another_text_is_no_place_of_the_runs_own(moved: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"new/valid.txt is not the test text that .* was trained with"):
        figures(tmp_path, moved, f"data.test={tmp_path}/new/valid.txt")


def test_lines_in_another_order_are_another_text(moved: Run, tmp_path: Path) -> None:
    swapped_lines(tmp_path / "new" / "test.txt")
    with pytest.raises(UserError, match="is not the test text"):
        figures(tmp_path, moved, f"data_from={tmp_path}/new")
    assert figures(tmp_path, moved, f"data_from={tmp_path}/new", "split=valid")["tokens"] > 0
    with pytest.raises(UserError, match=r"has changed since \(test\)"):
        resume(moved.dir, "checkpoint=last", *(f"++data.{s}={tmp_path}/new/{s}.txt" for s in SPLITS))


def test_a_run_resumes_on_text_that_has_moved(moved: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"old/train.txt does not exist.*data.train=FILE"):
        resume(moved.dir, "checkpoint=last", "trainer.max_epochs=2")
    places = [f"++data.{split}={tmp_path}/new/{split}.txt" for split in SPLITS]
    resumed = resume(moved.dir, "checkpoint=last", "trainer.max_epochs=2", *places)
    assert resumed.result["resumed_at"] == [4]
    assert resumed.result["config"]["data"]["train"] == f"{tmp_path}/new/train.txt"


def test_moved_text_on_the_command_line(moved: Run, tmp_path: Path, call: Callable[..., Done]) -> None:
    places = [f"data.{split}={tmp_path}/new/{split}.txt" for split in SPLITS]
    done = call("train", f"checkpoint={moved.dir}", "trainer.max_epochs=2", *places)
    assert done.code == 0, done.err
    assert f"test text: 301 tokens, 0 unknown, from {tmp_path}/new/test.txt" in done.err


def test_the_comparison_takes_one_text_in_two_places_for_one_setting(
    files: dict[str, Path], train: Callable[..., Run], tmp_path: Path, call: Callable[..., Done]
) -> None:
    runs = []
    for seed in (1, 2):
        folder = tmp_path / f"copy{seed}"
        shutil.copytree(tmp_path / "old", folder)
        places = [f"data.{split}={folder}/{split}.txt" for split in SPLITS]
        runs.append(str(train("data=text", *places, *SETTINGS, f"seed={seed}", name=f"run{seed}").dir))
        shutil.rmtree(folder)
    done = call("compare", f"runs=[{','.join(runs)}]", f"data_from={tmp_path}/old", f"out={tmp_path}/report")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert len(report["groups"]) == 1
    assert not any("text" in refused["reason"] for refused in report["refused"])


def test_files_of_a_run_without_files_are_refused(train: Callable[..., Run], tmp_path: Path) -> None:
    run = train("data=synthetic", *SETTINGS)
    with pytest.raises(UserError, match=r"data\.test: the text of .* is not given by single files"):
        figures(tmp_path, run, "data.test=x")
    with pytest.raises(UserError, match="is not in files"):
        figures(tmp_path, run, f"data_from={tmp_path}")


def test_a_copy_with_the_same_size_and_time_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("lm.system.file_hash.SETTLED", -1.0)  # as if the files were old
    file, other = tmp_path / "text", tmp_path / "other"
    file.write_text("a b c d\n" * 50)
    other.write_text("d c b a\n" * 50)
    os.utime(file, ns=(10**18, 10**18))
    shutil.copystat(file, other)
    assert encode_cached(TextFiles(file)).vocab.words[0] == "a"
    shutil.copy2(other, file)  # as `cp -p` does
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (400, 10**18)
    assert encode_cached(TextFiles(file)).vocab.words[0] == "d"


def test_an_unchanged_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("lm.system.file_hash.SETTLED", -1.0)
    file = tmp_path / "text"
    file.write_text("a b c\n")
    first = content_hash(file)
    with monkeypatch.context() as patched:
        patched.setattr("lm.system.file_hash.hashlib.file_digest", lambda *_: pytest.fail("hashed again"))
        assert content_hash(file) == first
    file.write_text("a b d\n")
    assert content_hash(file) != first


def test_a_file_that_has_just_changed_is_not_taken_for_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    file = tmp_path / "text"
    file.write_text("a b c\n")
    content_hash(file)
    assert not (tmp_path / "cache" / "hashes").exists()


def test_a_notebook_finds_moved_text_too(moved: Run, tmp_path: Path) -> None:
    assert len(load(moved.dir, data_from=tmp_path / "new").split_ids("test")) == moved.result["test"]["tokens"] + 1
