"""Learning rates over a whole run: in their own units, whatever limits a run resumes with, and as they are reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, Run, resume
from hypothesis import given
from hypothesis import strategies as st

from lm.training.optim import Cosine, EpochDecay
from lm.training.optim.schedules import Plan


def small(text_file: Path) -> list[str]:
    limits = ["trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "free_running=null"]
    return ["data=text", f"data.train={text_file}", *TINY, *limits]


@given(st.integers(1, 9), st.integers(1, 9))
def test_a_run_that_is_not_resumed_has_the_plain_counts(per_epoch: int, epochs: int) -> None:
    plan = Plan(per_epoch, epochs)
    assert plan.total == per_epoch * epochs
    assert [plan.epoch(update) for update in range(plan.total)] == [u // per_epoch for u in range(plan.total)]


@given(st.integers(1, 9), st.integers(2, 9), st.data())
def test_resuming_with_the_same_limits_changes_nothing(per_epoch: int, epochs: int, data: st.DataObject) -> None:
    whole = Plan(per_epoch, epochs)
    done = data.draw(st.integers(0, whole.total))
    resumed = Plan(per_epoch, epochs, done, done // per_epoch, done % per_epoch)
    assert resumed.total == whole.total
    assert all(resumed.epoch(update) == whole.epoch(update) for update in range(done, whole.total))
    for schedule in (Cosine(0.2), EpochDecay(1)):
        rest = range(done, whole.total)
        assert [schedule.factor(u, resumed) for u in rest] == [schedule.factor(u, whole) for u in rest]


def test_what_was_done_stays_done_with_other_limits() -> None:
    plan = Plan(per_epoch=8, epochs=8, done=80, epochs_done=2)  # two epochs of 40 are done, six of 8 are left
    assert plan.total == 80 + 48
    rates = [Cosine(0.0).factor(update, plan) for update in range(80, 128)]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < rates[0] < 1
    # Four epochs of 4 updates, then epochs of 20: the fifth epoch is the fifth one.
    plan = Plan(per_epoch=20, epochs=8, done=16, epochs_done=4)
    assert [EpochDecay(after=1).factor(update, plan) for update in (16, 35, 36)] == [0.5**4, 0.5**4, 0.5**5]


def test_a_run_resumed_with_fewer_windows_keeps_learning(
    train: Callable[..., Run], text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(*small(text_file), "optim=adamw", "trainer.limit_train_batches=40", "trainer.max_epochs=2")
    capsys.readouterr()
    resumed = resume(run.dir, "checkpoint=last", "trainer.limit_train_batches=8", "trainer.max_epochs=8")
    said = capsys.readouterr().err
    assert "trainer.limit_train_batches was 40, is now 8" in said
    assert ": 48 windows left" in said
    rates = [rate for step, rate in resumed.curve("train/lr").items() if step >= 80]
    assert len(rates) == 48
    assert all(rate > 0 for rate in rates)
    assert rates == sorted(rates, reverse=True)


def test_the_first_update_after_resuming_a_finished_cosine_takes_the_new_rate(
    train: Callable[..., Run], text_file: Path
) -> None:
    common = [*small(text_file), "optim=adamw", "trainer.limit_train_batches=5"]
    run = train(*common, "trainer.max_epochs=2")
    assert run.curve("train/lr")[9] > 0
    resumed = resume(run.dir, "checkpoint=last", "trainer.max_epochs=4")
    half = 0.003 * Cosine().factor(10, Plan(5, 4))
    assert resumed.curve("train/lr")[10] == pytest.approx(half, rel=1e-5)


def test_the_rate_that_is_written_is_the_one_that_was_used(train: Callable[..., Run], text_file: Path) -> None:
    common = [*small(text_file), "optim=sgd", "optim.lr=2", "trainer.limit_train_batches=6", "trainer.max_epochs=2"]
    run = train(*common, "optim/schedule=epoch_decay", "optim.schedule.after=1", name="decay")
    rates = run.curve("train/lr")
    assert [rates[k] for k in (0, 5, 6, 11)] == [2.0, 2.0, 1.0, 1.0]
    random = train(*common, "optim/schedule=constant", "tbptt.random_length=true", "data.window=20", name="random")
    rates = random.curve("train/lr")
    assert len(set(rates.values())) > 1
    assert all(
        rate * 20 / 2 == pytest.approx(round(rate * 20 / 2), abs=1e-4) for rate in rates.values()
    )  # whole tokens
