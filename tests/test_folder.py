"""A run's folder belongs to one run: its files are neither mixed with another run's nor lost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY, Run, configure

from lm.cli.arguments import keep_record
from lm.commands.train import train as train_in
from lm.runs.run_folder import RunFolder
from lm.system.errors import UserError
from lm.system.files import claimed, whole
from lm.training.module import LanguageModule


@pytest.fixture
def small(text_file: Path) -> list[str]:
    return ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_train_batches=5"]


def test_two_runs_do_not_share_a_folder(train: Callable[..., Run], small: list[str], tmp_path: Path) -> None:
    with claimed(tmp_path / "busy"), pytest.raises(UserError, match=r"another run is using .*busy"):
        train_in(configure("train", *small), tmp_path / "busy")
    assert not list((tmp_path / "busy").iterdir())
    train_in(configure("train", *small), tmp_path / "busy")


def test_a_finished_run_without_checkpoints_is_not_written_over(train: Callable[..., Run], small: list[str]) -> None:
    run = train(*small, "~callbacks.checkpoint")
    before = {path: path.read_bytes() for path in run.dir.rglob("*") if path.is_file()}
    for mistake in ([], ["model.hidden_size=0"], ["checkpoint=last"], [f"checkpoint={run.dir}"]):
        with pytest.raises(UserError, match="already holds a run: choose another folder"):
            train_in(configure("train", *small, *mistake), run.dir)
    assert {path: path.read_bytes() for path in run.dir.rglob("*") if path.is_file()} == before


def test_a_run_that_begins_from_anothers_checkpoint_and_dies_at_once_goes_on_there(
    train: Callable[..., Run], small: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, fork = train(*small, name="first"), tmp_path / "fork"
    start = f"checkpoint={first.dir / 'checkpoints/last.ckpt'}"
    longer = "trainer.max_epochs=2"

    def dies(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(LanguageModule, "training_step", dies)
        with pytest.raises(ZeroDivisionError):
            train_in(configure("train", start, longer), fork)
    with pytest.raises(UserError, match=rf"already holds a run, and .* resume the run .* checkpoint={fork}"):
        train_in(configure("train", start, longer), fork)
    train_in(configure("train", f"checkpoint={fork}", longer), fork)
    assert Run(fork).result["resumed_at"] == [5, 5]
    at_once = train(start, longer, name="at_once")
    assert Run(fork).result["test"] == at_once.result["test"]


def test_what_was_set_stays_written_down(
    train: Callable[..., Run], small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lm.runs.start.typed_overrides", lambda: ["seed=3", "+experiment=baseline", "checkpoint=elsewhere"]
    )
    run = train(*small)
    monkeypatch.setattr("lm.runs.start.typed_overrides", lambda: [f"checkpoint={run.dir}", "trainer.max_epochs=2"])
    train_in(configure("train", f"checkpoint={run.dir}", "trainer.max_epochs=2"), run.dir)
    expected = ["seed=3", "+experiment=baseline", "checkpoint=elsewhere", "trainer.max_epochs=2"]
    assert run.result["overrides"] == expected


def test_only_the_newest_of_a_setting_is_written_down(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"overrides": ["+a=1", "b=1"]}))
    assert RunFolder(tmp_path).overrides(["a=2", "checkpoint=x"], resumes=True) == ["a=2", "b=1"]
    assert RunFolder(tmp_path).overrides(["a=2", "checkpoint=x"], resumes=False) == ["a=2", "checkpoint=x"]


def test_a_run_whose_time_is_used_up_says_so(train: Callable[..., Run], small: list[str]) -> None:
    run = train(*small, "trainer.max_epochs=100000", "trainer.max_time=00:00:00:01")
    before = run.result
    with pytest.raises(UserError, match=r"trainer.max_time=00:00:00:01 is used up: .* trainer.max_time=null"):
        train_in(configure("train", f"checkpoint={run.dir}"), run.dir)
    assert run.result == before
    more = ["trainer.max_time=00:01:00:00", f"trainer.max_epochs={before['training']['windows'] // 5 + 2}"]
    train_in(configure("train", f"checkpoint={run.dir}", *more), run.dir)
    assert run.result["training"]["windows"] > before["training"]["windows"]


def test_hydras_record_of_the_start_is_kept(tmp_path: Path) -> None:
    arguments = [f"hydra.run.dir='{tmp_path}'", "seed=1"]
    assert keep_record(arguments) == arguments
    (tmp_path / ".hydra").mkdir()
    assert keep_record(arguments) == [*arguments, "hydra.output_subdir=null"]
    assert keep_record(["seed=1"]) == ["seed=1"]


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    with whole(Path("/dev/null"), "") as path:
        path.write_text("gone")
    assert not Path("/dev/null").is_file()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with whole(tmp_path / "link", "") as path:
        path.write_text("kept")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "kept"


def test_a_damaged_record_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{")
    assert not RunFolder(tmp_path).holds_run
    assert RunFolder(tmp_path).starting_point("last", in_sweep=False) is None
    (tmp_path / "checkpoints").mkdir()
    torch.save({}, tmp_path / "checkpoints/best.ckpt")
    assert RunFolder(tmp_path).starting_point("last", in_sweep=False) == tmp_path / "checkpoints/best.ckpt"


def test_a_finished_job_of_a_sweep_is_left_to_be_compared(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"status": "completed"}))
    assert RunFolder(tmp_path).starting_point(None, in_sweep=True) is None
    (tmp_path / "checkpoints").mkdir()
    torch.save({}, tmp_path / "checkpoints/last.ckpt")
    for typed in (None, "/elsewhere/last.ckpt"):  # a job that began from a file resumes from its own checkpoint
        assert RunFolder(tmp_path).starting_point(typed, in_sweep=True) == tmp_path / "checkpoints/last.ckpt"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "train.log")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "mistake",
    [
        ["sampler.bad_words=[zzz]"],
        ["callbacks.checkpoint.every_n_windows=-1"],
        ["trainer.limit_train_batches=1.5"],
        ["+callbacks.mine={_target_: test_folder.BreaksLate}"],
        ["model.hidden_size=99"],
        [],  # nothing is left to train
    ],
)
def test_a_start_that_trains_nothing_leaves_a_finished_run_as_it_was(
    train: Callable[..., Run], small: list[str], mistake: list[str]
) -> None:
    run = train(*small)
    before = contents(run.dir)
    settings = [f"checkpoint={run.dir}", *(["trainer.max_epochs=2"] if mistake else []), *mistake]
    with contextlib.suppress(UserError, ZeroDivisionError):
        train_in(configure("train", *settings), run.dir)
    assert contents(run.dir) == before


class BreaksLate(pl.Callback):
    def on_fit_start(self, trainer: object, module: object) -> None:
        raise ZeroDivisionError
