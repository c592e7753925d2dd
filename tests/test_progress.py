"""The time left that is shown during training and evaluation."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, Run

from lm.evaluation import Dynamic, Evaluator, evaluate
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.system.log import fitted
from lm.system.terminal import bar
from lm.training import forecast
from lm.training.callbacks.progress import Bar, Progress
from lm.training.module import LanguageModule


class Training:
    """A training run of so many windows of 10 tokens, whose windows take as long as it is told."""

    def __init__(self, windows: int) -> None:
        self.trainer: Any = SimpleNamespace(
            num_training_batches=windows, max_epochs=1, current_epoch=0, callbacks=[], max_time=None, datamodule=None,
            fit_loop=SimpleNamespace(batch_idx=0),
        )  # fmt: skip
        self.module: Any = SimpleNamespace(
            windows=0, tokens=0, updates=0, seconds=0.0, last_loss=torch.tensor(1.0), windows_per_second=1.0,
            plan=SimpleNamespace(total=windows, per_epoch=windows), leave_out_time=lambda: None,
        )  # fmt: skip
        self.progress = Progress()
        self.progress.on_train_start(self.trainer, self.module)

    def train(self, windows: int, seconds_each: float) -> None:
        for _ in range(windows):
            self.module.windows, self.module.tokens = self.module.windows + 1, self.module.tokens + 10
            self.module.updates += 1
            self.module.seconds += seconds_each
            self.progress.on_train_batch_end(self.trainer, self.module)

    def shown(self) -> tuple[str, str]:
        figures = self.progress.figures(self.trainer, self.module)
        return figures["left"], figures["tokens/s"]


def test_the_time_left_follows_from_the_last_minute_of_training() -> None:
    training = Training(11_000)
    assert training.shown() == ("0:00:00", "0")
    training.train(20, 0.5)  # less than a minute: all of it counts
    assert training.shown() == ("1:31:30", "20")
    training.train(980, 0.5)
    assert training.shown() == ("1:23:20", "20")
    training.train(60, 2.0)  # four times slower, as when another program starts
    assert training.shown() == ("5:31:20", "5")
    training.train(7_000, 0.01)
    assert training.shown() == ("0:00:29", "1,000")
    assert len(training.progress._marks) <= 62


def test_windows_longer_than_a_minute_have_a_speed_too() -> None:
    training = Training(10)
    training.train(1, 90)
    assert training.shown()[0] == "0:13:30"
    training.train(1, 180)
    assert training.shown()[0] == "0:24:00"


def test_a_resumed_run_has_the_speed_of_this_start() -> None:
    training = Training(100)
    training.module.windows, training.module.updates, training.module.seconds = 50, 50, 5_000.0
    training.progress.on_train_start(training.trainer, training.module)
    training.train(10, 1)
    assert training.shown()[0] == "0:00:40"


def test_the_bar_of_training_shows_no_second_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning's follows from the average speed of the epoch, and a resumed epoch starts in the middle."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    drawn = Bar(Progress()).init_train_tqdm()
    drawn.reset(total=100)
    drawn.n = 50
    drawn.set_postfix({"left": "0:01:00"})
    assert "50/100" in str(drawn)
    assert "left=0:01:00" in str(drawn)
    assert "<" not in str(drawn)
    drawn.close()


class Clock:
    """A clock that tests set. It replaces the one of progress bars."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr("lm.system.terminal.time.time", lambda: self.now)

    def bar(self, *arguments: Any) -> Any:
        made = bar(*arguments)
        made._time = lambda: self.now
        made.start_t = made.last_print_t = self.now
        return made


def left(shown: Any) -> float:
    found = shown.format_dict
    rate = found["rate"] or (found["n"] - found["initial"]) / found["elapsed"]
    return (found["total"] - found["n"]) / rate


def test_the_clock_of_a_bar_starts_when_the_first_part_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    shown = clock.bar("dynamic", 10_000)
    clock.now += 3_600  # gradient statistics
    shown.update(5)
    assert (shown.n, shown.format_dict["elapsed"]) == (5, 0)
    for _ in range(40):
        clock.now += 1
        shown.update(5)
    assert left(shown) == pytest.approx(9_795 / 5)
    for _ in range(400):
        clock.now += 2
        shown.update(5)
    assert left(shown) == pytest.approx(7_795 / 2.5, rel=0.01)  # the speed of late
    shown.close()


def test_dynamic_evaluation_leaves_its_statistics_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    made = []

    def drawn(*arguments: Any) -> Any:
        made.append(clock.bar(*arguments))
        return made[-1]

    def statistics(*_: Any) -> Any:
        clock.now += 3_600
        return real(*_)

    real = Dynamic._root_mean_squares
    monkeypatch.setattr("lm.evaluation.evaluator.bar", drawn)
    monkeypatch.setattr(Dynamic, "_root_mean_squares", statistics)
    ids = np.random.default_rng(0).integers(0, 12, 200)
    evaluate(Dynamic(5, streams=4, corpus={"train": ids}.__getitem__), RecurrentLanguageModel(12, 6, 6), ids, unk=0)
    (shown,) = made
    assert clock.now == 4_600
    assert shown.n == shown.total == 199
    assert shown.format_dict["elapsed"] == 0


def test_the_expected_time_has_validation_and_test_in_it_and_changes_no_run(
    train: Callable[..., Run], text_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part of the text takes 10 s here: the forecast counts parts, and reading one draws no random numbers."""
    monkeypatch.setattr(LanguageModule, "windows_per_second", 1.0)
    real = forecast._seconds_of_a_part

    def ten_seconds(evaluator: Evaluator, *rest: Any) -> float:
        assert real(evaluator, *rest) > 0
        return 10.0

    monkeypatch.setattr(forecast, "_seconds_of_a_part", ten_seconds)
    settings = ["data=text", f"data.train={text_file}", *TINY, "model.dropout=0.3", "data.eval_window=64"]
    settings += ["trainer.max_epochs=2", "trainer.limit_train_batches=10", "trainer.limit_val_batches=2"]
    settings += ["trainer.limit_test_batches=3", "trainer.log_every_n_steps=1"]
    told = train(*settings, "free_running={streams: 20, limit: 4}", name="told")
    # 15 windows of training left, two validations of two parts, a test of three, free running of two and three windows
    assert "expected time: 0:02:15, of which 0:02:00 for validation and test" in capsys.readouterr().err
    untold = train(*settings, "callbacks.progress=null", "free_running=null", name="untold")
    assert "expected time" not in capsys.readouterr().err
    assert told.curve() == untold.curve()


def test_a_warning_is_broken_between_words_to_the_width_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "warning: " + "words and more " * 20
    assert fitted(long) == long
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, fitted(long).split("\n"))) < 80
    assert fitted(long).split() == long.split()
    command = "error: stopped. resume with: python train.py checkpoint=" + "runs/" * 30
    assert fitted(command) == command
