"""A run that was stopped and resumed equals the uninterrupted run, bit for bit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY, Run, configure, resume
from omegaconf import OmegaConf

from lm.runs.resumed_config import merged
from lm.runs.run_folder import EVENTS
from lm.system.errors import UserError
from lm.system.signals import Interrupted, listening, terminable

ROOT = Path(__file__).parent.parent
SETTINGS = [*TINY, "trainer.max_epochs=3", "trainer.limit_train_batches=7", "callbacks.checkpoint.every_n_windows=2"]
SETTINGS += ["trainer.limit_val_batches=2", "trainer.limit_test_batches=2", "optim=adamw"]
MODES = {
    "teacher": [],
    "no_tf": ["+experiment=no_tf"],
    "tbptt": ["tbptt.windows=3"],
    "plateau": ["optim=sgd", "optim.lr=2"],
    "masks": ["model=awd_lstm", "tbptt.random_length=true", "tbptt.reset=0.3", "regularisation.temporal=1"],
    "average": ["optim=ntasgd", "optim.average.patience=0", "optim.lr=200", "tbptt.random_length=true"],
    "gru": ["model/cell=gru", "model.cell.state_dropout=0.2", "model.cell.weight_dropout=0.2", "tbptt.windows=2"],
    "slstm": ["+experiment=no_tf", "model/cell=slstm", "model.num_layers=2"],
    "min_gru": ["model/cell=min_gru", "forcing=scheduled", "tbptt.random_length=true", "tbptt.reset=0.3"],
    "transformer": ["model=transformer", "model.heads=2", "model.context=9", "tbptt.windows=2", "tbptt.reset=0.3"],
    "moving": ["optim=adam", "optim/average=exponential", "optim.average.decay=0.9"],
}


class Crash(RuntimeError):
    pass


class CrashAt(pl.Callback):
    """Die at a given window, or in the validation after it."""

    def __init__(self, window: int, validating: bool = False) -> None:
        self.window, self.validating = window, validating

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        if module.windows == self.window and not self.validating:
            raise Crash

    def on_validation_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        if module.windows == self.window and self.validating:
            raise Crash


def crash(train: Callable[..., Run], overrides: list[str], window: int, validating: bool = False) -> None:
    at = f"+callbacks.crash={{_target_: test_resume.CrashAt, window: {window}, validating: {validating}}}"
    with pytest.raises(Crash):
        train(*overrides, at, name="broken")


def assert_same_run(a: Run, b: Run) -> None:
    for name in ("last", "best"):
        one, two = (torch.load(run.dir / f"checkpoints/{name}.ckpt") for run in (a, b))
        assert one["global_step"] == two["global_step"]
        for key, value in one["state_dict"].items():
            assert torch.equal(value, two["state_dict"][key]), key
        assert one["training"]["average"]["losses"] == two["training"]["average"]["losses"]
        for value, other in zip(*(run["training"]["average"]["trained"] for run in (one, two)), strict=True):
            assert torch.equal(value, other)
    for tag in ("train/loss", "valid/perplexity", "test/perplexity", "train/lr", "x_once/best_valid_perplexity"):
        assert a.curve(tag) == b.curve(tag), tag
    for key in ("valid", "test", "samples"):
        assert a.result[key] == b.result[key]
    assert a.result["best"]["epoch"] == b.result["best"]["epoch"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("window", "validating"),
    [
        (5, False),
        pytest.param(8, False, marks=pytest.mark.slow),
        (14, True),
        pytest.param(15, False, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_is_the_uninterrupted_one(
    mode: str, window: int, validating: bool, train: Callable[..., Run], text_file: Path, tmp_path: Path
) -> None:
    dropout = [] if "model=awd_lstm" in MODES[mode] else ["model.dropout=0.3"]
    overrides = ["data=text", f"data.train={text_file}", *SETTINGS, *dropout, *MODES[mode]]
    whole = train(*overrides, name="whole")
    crash(train, overrides, window, validating)
    resumed = resume(tmp_path / "broken", *overrides, "checkpoint=last", "+callbacks.crash=null")
    assert_same_run(whole, resumed)
    assert len(resumed.result["resumed_at"]) == 1


@pytest.mark.parametrize("name", ["best", "last"])
def test_an_epochs_checkpoint_goes_on_with_the_next_epoch(
    name: str, train: Callable[..., Run], text_file: Path, tmp_path: Path
) -> None:
    overrides = ["data=text", f"data.train={text_file}", *SETTINGS, "optim=adam"]
    whole = train(*overrides, name="whole")
    train(*overrides, "trainer.max_epochs=1", name="short")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file = tmp_path / "short" / "checkpoints" / f"{name}.ckpt"
    resumed = resume(elsewhere, f"checkpoint={file}", "trainer.max_epochs=3")
    assert resumed.result["config"]["model"]["hidden_size"] == 24  # from the checkpoint, not from the defaults
    assert resumed.result["resumed_at"] == [7]
    assert list(resumed.curve()) == list(range(7, 21))
    assert {k: v for k, v in whole.curve().items() if k >= 7} == resumed.curve()
    assert resumed.result["test"] == whole.result["test"]


def test_going_on_twice_adds_up(train: Callable[..., Run], text_file: Path, tmp_path: Path) -> None:
    overrides = ["data=text", f"data.train={text_file}", *SETTINGS, "optim=adam"]
    whole = train(*overrides, name="whole")
    run = train(*overrides, "trainer.max_epochs=1", name="run")
    resume(run.dir, "checkpoint=last", "trainer.max_epochs=2")
    again = resume(run.dir, f"checkpoint={run.dir}", "trainer.max_epochs=3")
    assert again.result["resumed_at"] == [7, 14]
    assert_same_run(whole, again)
    finished = resume(run.dir, "checkpoint=last", "trainer.max_epochs=3")
    assert finished.result["test"] == again.result["test"]
    assert finished.curve() == again.curve()


def test_a_relative_folder_keeps_its_curves(
    train: Callable[..., Run], text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["data=text", f"data.train={text_file}", *SETTINGS]
    whole = train(*overrides, "trainer.max_epochs=2", name="whole")
    run = train(*overrides, "trainer.max_epochs=1", "optim.schedule.warmup=0.5", name="run")
    monkeypatch.chdir(tmp_path)
    resumed = resume(Path("run"), "checkpoint=run", "trainer.max_epochs=2")
    assert list(resumed.curve()) == list(whole.curve())
    assert list(resumed.curve("valid/perplexity")) == [7, 14]
    assert resumed.result["resumed_at"] == [7]
    assert run.dir == resumed.dir.resolve()


def test_a_refused_resumption_leaves_the_finished_run_alone(train: Callable[..., Run], text_file: Path) -> None:
    run = train("data=text", f"data.train={text_file}", *SETTINGS, "trainer.max_epochs=1")
    before, curve = run.result, run.curve()
    for mistake in ("model.hidden_size=48", "trainer.log_every_n_steps=0", "sampler.top_k=x"):
        with pytest.raises(UserError):
            resume(run.dir, "checkpoint=last", mistake)
        assert run.result == before
        assert run.curve() == curve


def test_a_start_within_the_same_second_is_read_after_the_earlier_one(
    train: Callable[..., Run], text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train("data=text", f"data.train={text_file}", *SETTINGS, "trainer.max_epochs=1")
    made = max(int(events.name.split(".")[3]) for events in run.dir.glob(EVENTS))
    slept: list[float] = []
    clock = SimpleNamespace(time=lambda: made + 0.5, sleep=slept.append)
    monkeypatch.setattr("lm.runs.run_folder.time", clock)
    resume(run.dir, "checkpoint=last", "trainer.max_epochs=2")
    assert slept == [0.5]  # until the next second


def test_event_files_of_others_are_left_alone(train: Callable[..., Run], text_file: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    theirs = tmp_path / "shared" / "events.out.tfevents.1.theirs.0"
    theirs.write_bytes(b"")
    resume(tmp_path / "shared", "data=text", f"data.train={text_file}", *SETTINGS, "trainer.max_epochs=1")
    assert theirs.exists()


def test_another_text_is_refused(train: Callable[..., Run], tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("a b c d\n" * 300)
    run = train("data=text", f"data.train={text}", *SETTINGS, "trainer.max_epochs=1")
    text.write_text("d c b a\n" * 300)
    with pytest.raises(UserError, match="has changed since"):
        resume(run.dir, "checkpoint=last", "trainer.max_epochs=2")


def test_groups_typed_again_are_heard(train: Callable[..., Run], text_file: Path) -> None:
    saved = configure("train", "data=text", f"data.train={text_file}", "sampler=greedy", "optim=sgd")
    typed, default = (configure("train", *more) for more in ([], []))
    configs = [OmegaConf.to_container(config) for config in (saved, typed, default)]
    unsaid = merged(*configs, [], Path("x"))
    assert unsaid["sampler"]["do_sample"] is False
    assert merged(*configs, ["sampler"], Path("x"))["sampler"]["do_sample"] is True
    with pytest.raises(UserError, match="optim"):
        merged(*configs, ["optim"], Path("x"))


def test_a_run_that_goes_on_elsewhere_keeps_its_best(
    train: Callable[..., Run], text_file: Path, tmp_path: Path
) -> None:
    run = train("data=text", f"data.train={text_file}", *SETTINGS, "optim=sgd", "optim.lr=1", "trainer.max_epochs=2")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    resumed = resume(elsewhere, f"checkpoint={run.dir}", "trainer.max_epochs=3")
    best = torch.load(resumed.result["best"]["checkpoint"])
    assert best["epoch"] + 1 == resumed.result["best"]["epoch"]
    assert Path(resumed.result["best"]["checkpoint"]).parent.parent == elsewhere


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_best_epoch_before_a_fork_stays_the_best(
    epochs: int, train: Callable[..., Run], text_file: Path, tmp_path: Path
) -> None:
    """Whether the fork trains on (3) or finds nothing left to train (2)."""
    run = train("data=text", f"data.train={text_file}", *SETTINGS, "trainer.max_epochs=2")
    for name in ("best", "last"):
        file = run.dir / f"checkpoints/{name}.ckpt"
        content = torch.load(file, weights_only=True)
        content["training"].update(best_epoch=1, best_score={"perplexity": 1.5, "nats": 1.0, "tokens": 2})
        torch.save(content, file)
    before = (run.dir / "checkpoints/best.ckpt").read_bytes()
    fork = tmp_path / "fork"
    fork.mkdir()
    result = resume(fork, f"checkpoint={run.dir}", f"trainer.max_epochs={epochs}").result
    assert result["best"] == {"checkpoint": str(fork / "checkpoints/best.ckpt"), "epoch": 1}
    assert result["valid"]["perplexity"] == 1.5
    assert (fork / "checkpoints/best.ckpt").read_bytes() == before


def test_settings_that_would_make_it_another_run_are_refused(
    train: Callable[..., Run], text_file: Path, tmp_path: Path
) -> None:
    run = train("data=text", f"data.train={text_file}", *SETTINGS, "trainer.max_epochs=1")
    for setting in ("model.hidden_size=48", "optim.lr=0.5", "data.batch_size=5", "forcing=free_running"):
        key = setting.split("=")[0].replace("forcing", "forcing.feedback")
        with pytest.raises(UserError, match=key):
            resume(run.dir, "checkpoint=last", setting)


def test_a_new_run_starts_from_the_weights_of_another(
    train: Callable[..., Run], text_file: Path, tmp_path: Path
) -> None:
    common = ["data=text", f"data.train={text_file}", *SETTINGS, "optim=sgd", "trainer.max_epochs=1"]
    first = train(*common, "optim.lr=1", name="first")
    frozen = train(*common, "optim.lr=1e-30", f"weights_from={first.dir}", name="second")
    assert frozen.result["valid"] == first.result["valid"]
    assert frozen.result["resumed_at"] == []
    assert list(frozen.curve()) == list(range(7))
    again = resume(frozen.dir, "checkpoint=last", "trainer.max_epochs=2")
    assert again.result["config"]["weights_from"] == str(first.dir)
    for mistake, named in (("model.hidden_size=8", "do not fit this model"), ("data.min_count=300", "vocabulary")):
        with pytest.raises(UserError, match=f"weights_from.*{named}"):
            train(*common, f"weights_from={first.dir}", mistake, name=named.split()[0])


def test_a_folder_that_holds_a_run_is_not_written_over(train: Callable[..., Run], text_file: Path) -> None:
    overrides = ["data=text", f"data.train={text_file}", *SETTINGS, "trainer.max_epochs=1"]
    run = train(*overrides)
    before = run.result
    with pytest.raises(UserError, match="already holds a run: resume it with checkpoint=last"):
        resume(run.dir, *overrides)
    assert run.result == before


def test_a_group_younger_than_the_checkpoint_has_its_default(train: Callable[..., Run], text_file: Path) -> None:
    run = train("data=text", f"data.train={text_file}", *SETTINGS, "trainer.max_epochs=1")
    for name in ("init", "regularisation"):
        for file in (run.dir / "checkpoints").glob("*.ckpt"):
            content = torch.load(file, weights_only=True)
            del content["config"][name]
            torch.save(content, file)
    again = resume(run.dir, "checkpoint=last", "trainer.max_epochs=2")
    assert again.result["config"]["init"] == {"_target_": "lm.models.initial.Random"}
    assert again.result["status"] == "completed"


def test_last_without_a_checkpoint_starts_afresh_and_says_so(
    train: Callable[..., Run], text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("data=text", f"data.train={text_file}", *SETTINGS, "trainer.max_epochs=1", "checkpoint=last")
    assert "starting a new run" in capsys.readouterr().err
    assert run.result["resumed_at"] == []


# As a user meets it: signals to a process


def command(folder: Path, text: Path, *more: str) -> list[str]:
    settings = ["data=text", f"data.train={text}", *SETTINGS, "trainer.max_epochs=40", "checkpoint=last"]
    return [sys.executable, str(ROOT / "train.py"), *settings, f"hydra.run.dir={folder}", *more]


def wait_for(path: Path, process: subprocess.Popen, pattern: bool = False) -> None:
    for _ in range(1200):
        there = any(path.parent.glob(f"{path.name}*")) if pattern else path.exists()
        if there or process.poll() is not None:
            return
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_stops_after_a_window_and_loses_nothing(
    signum: int, code: int, text_file: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(command(tmp_path / "r", text_file), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_for(tmp_path / "r/checkpoints/last.ckpt", process)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err.decode()
    assert b"Traceback" not in err
    assert f"checkpoint={tmp_path / 'r'}".encode() in err
    result = Run(tmp_path / "r").result
    assert result["status"] == "failed"
    assert signal.Signals(signum).name in result["error"]
    windows = torch.load(tmp_path / "r/checkpoints/last.ckpt")["training"]["windows"]
    assert max(Run(tmp_path / "r").curve()) in (windows - 1, windows)


@pytest.mark.slow
@pytest.mark.parametrize("more", ["tbptt.windows=3", "~callbacks.checkpoint", "callbacks.checkpoint.every_n_windows=0"])
def test_a_signal_is_obeyed_in_every_mode(more: str, text_file: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path / "r", text_file, more), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_for(tmp_path / "r/events.out.tfevents", process, pattern=True)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err.decode()
    assert "SIGTERM" in Run(tmp_path / "r").result["error"]
    saved = more != "~callbacks.checkpoint"
    assert (tmp_path / "r/checkpoints/last.ckpt").exists() == saved


def test_a_signal_before_training_is_told_and_keeps_what_was_there(text_file: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path / "r", text_file), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_for(tmp_path / "r/train.log", process)  # Hydra's: torch is still to be imported
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err.decode()
    assert err.decode().strip() == "error: stopped by SIGTERM"
    assert not (tmp_path / "r/checkpoints").exists()


def test_a_signal_that_python_swallowed_is_not_lost() -> None:
    """As when the signal arrives in the clean-up after an import."""
    with terminable(), contextlib.suppress(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGTERM"), listening():
        pytest.fail("training would begin")
    with terminable(), listening() as stop:
        assert not stop


@pytest.mark.slow
def test_ten_kills_at_random_moments_end_in_the_same_weights(text_file: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command(tmp_path / "whole", text_file), check=True, capture_output=True, env=environment)
    broken = tmp_path / "broken"
    for _ in range(10):
        process = subprocess.Popen(command(broken, text_file), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        written = broken / "checkpoints" / "last.ckpt"
        before = written.stat().st_mtime_ns if written.exists() else 0
        for _ in range(600):  # until this process has written something, so that ten restarts make progress
            if process.poll() is not None or (written.exists() and written.stat().st_mtime_ns != before):
                break
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.wait()
    subprocess.run(command(broken, text_file), check=True, capture_output=True, env=environment)
    assert_same_run(Run(tmp_path / "whole"), Run(broken))
    assert len(Run(broken).result["resumed_at"]) >= 5
