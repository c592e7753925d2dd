"""Loggers beside TensorBoard get the same curves; threads; early stopping as the documentation says."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY, Run, resume
from pytorch_lightning.loggers import WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lm.system.devices import use_threads
from lm.system.errors import UserError

SHORT = ["trainer.limit_train_batches=4", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]


@pytest.fixture
def small(text_file: Path) -> list[str]:
    return ["data=text", f"data.train={text_file}", *TINY, *SHORT]


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def tags(folder: Path) -> set[str]:
    """The names of the curves in a run's event files, as TensorBoard reads them."""
    return set(EventAccumulator(str(folder)).Reload().Tags()["scalars"])


def test_csv_has_the_curves_of_tensorboard(train: Callable[..., Run], small: list[str]) -> None:
    run = train(*small, "logger=[tensorboard,csv]")
    with (run.dir / "csv/version_0/metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) - {"step", "epoch"} == tags(run.dir) - {"epoch"}
    (loss,) = {row["x_once/test_loss"] for row in rows} - {""}
    assert float(loss) == pytest.approx(run.result["test"]["nats"] / run.result["test"]["tokens"], rel=1e-5)


def test_a_resumed_run_keeps_its_csv(train: Callable[..., Run], small: list[str]) -> None:
    run = train(*small, "logger=[tensorboard,csv]")
    first = (run.dir / "csv/version_0/metrics.csv").read_text()
    resume(run.dir, f"checkpoint={run.dir}", "trainer.max_epochs=3", "logger=[tensorboard,csv]")
    assert (run.dir / "csv/version_0/metrics.csv").read_text() == first
    assert (run.dir / "csv/version_1/metrics.csv").is_file()


@pytest.mark.slow
def test_wandb_has_the_curves_and_the_configuration(
    train: Callable[..., Run], small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    logged: set[str] = set()
    configured: list[dict[str, Any]] = []
    plain = WandbLogger.log_metrics

    def log(self: WandbLogger, metrics: dict[str, float], step: int | None = None) -> None:
        logged.update(metrics)
        configured.append(dict(self.experiment.config))
        plain(self, metrics, step)

    monkeypatch.setattr(WandbLogger, "log_metrics", log)
    run = train(*small, "logger=[tensorboard,wandb]", "logger.wandb.offline=true")
    assert logged - {"epoch"} == tags(run.dir) - {"epoch"}
    assert configured[0]["model"]["hidden_size"] == run.result["config"]["model"]["hidden_size"]
    assert list((run.dir / "wandb").glob("offline-run-*/*.wandb"))


def test_wandb_that_is_not_installed_is_named(
    train: Callable[..., Run], small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        UserError, match=r'needs the package wandb, which is not installed: pip install "recurrent-lm\['
    ):
        train(*small, "logger=[tensorboard,wandb]")


def test_early_stopping_is_the_documented_line(train: Callable[..., Run], small: list[str]) -> None:
    page = (Path(__file__).parent.parent / "docs/scale.md").read_text(encoding="utf-8")
    (line,) = (line for line in page.splitlines() if "EarlyStopping" in line)
    setting = line.removeprefix("python train.py ").strip("'").replace("patience:3", "patience:1")
    run = train(*small, setting, "trainer.max_epochs=9", "optim.lr=1e-30")  # nothing improves
    assert run.result["training"]["windows"] == 2 * 4  # two epochs: the second is no better than the first
    assert run.result["status"] == "completed"


def test_threads_are_set_and_set_back() -> None:
    before = torch.get_num_threads()
    use_threads(before + 1)
    assert torch.get_num_threads() == before + 1
    use_threads(None)
    assert torch.get_num_threads() == before


def test_a_command_computes_on_the_chosen_threads(call: Callable[..., Any], small: list[str], tmp_path: Path) -> None:
    done = call("train", *small, "accelerator.threads=3", f"hydra.run.dir={tmp_path}/run")
    assert done.code == 0, done
    assert json.loads((tmp_path / "run/result.json").read_text())["provenance"]["threads"] == 3
