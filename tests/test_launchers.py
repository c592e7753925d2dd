"""Sweeps whose jobs are processes of other packages' launchers: joblib, submitit, and searches with Optuna."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import TINY, Run
from omegaconf import OmegaConf

from lm.config.jobs_at_once import jobs_at_once
from lm.system.signals import Interrupted, StopRequest, listening

ROOT = Path(__file__).parent.parent
SHORT = [*TINY, "data=synthetic", "free_running=null", "callbacks.projector=null", "trainer.limit_val_batches=5"]
SHORT += ["trainer.limit_test_batches=5", "hydra.callbacks.table.report=false", "trainer.log_every_n_steps=50"]
QUICK, LONG = ["trainer.limit_train_batches=20"], ["trainer.limit_train_batches=2500"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
SUBMITIT = ["hydra/launcher=submitit_local"]
BASIC = ["hydra/launcher=basic"]
linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds processes in /proc")


# How many run side by side


@pytest.mark.parametrize(
    ("launcher", "sweeper", "settings", "count"),
    [
        ({"_target_": "x.BasicLauncher"}, {}, ["seed=1,2,3"], 1),
        ({"_target_": "x.joblib.J", "n_jobs": 2}, {}, ["seed=1,2,3", "data=text"], 2),
        ({"_target_": "x.joblib.J", "n_jobs": 8}, {}, ["seed=1,2", "optim.lr=0.1,0.2,0.3"], 6),
        ({"_target_": "x.joblib.J", "n_jobs": -1}, {"params": {"seed": "range(1000)"}}, [], os.cpu_count()),
        ({"_target_": "x.submitit.LocalLauncher"}, {"params": {"seed": "1,2", "model": "lstm"}}, ["seed=1,2,3"], 3),
        ({"_target_": "x.submitit.LocalLauncher"}, {"max_batch_size": 2}, ["seed=1,2,3"], 2),
        ({"_target_": "x.submitit.SlurmLauncher"}, {}, ["seed=1,2,3"], 1),
        ({"_target_": "x.joblib.J", "n_jobs": 4}, {"_target_": "x.optuna.O", "n_jobs": 3}, ["a=interval(0,1)"], 3),
    ],
)
def test_jobs_at_once(launcher: dict, sweeper: dict, settings: list[str], count: int) -> None:
    node = {"launcher": launcher, "sweeper": {"_target_": "x.BasicSweeper", "params": None, **sweeper}}
    assert jobs_at_once(OmegaConf.create({**node, "overrides": {"task": settings}})) == count


# Preemption


def test_a_preemption_is_noted_and_handed_on_to_the_launcher() -> None:
    handed: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda signum, frame: handed.append(signum))
    try:
        with listening() as stop:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGUSR2)  # comes with it, and must not end the program before it has saved
            signal.raise_signal(signal.SIGTERM)
        assert not handed
        with pytest.raises(Interrupted) as stopped:
            stop.obey()
        assert stopped.value.signum == signal.SIGUSR2
        stopped.value.hand_on()
        assert handed == [signal.SIGUSR2]
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert signal.SIGUSR2 not in StopRequest().signals, "nobody has a handler for it"


# Sweeps in processes


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a sweep in the folder `sweep`, on all cores."""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("OMP_NUM_THREADS", None)
    begun = []

    def start(*settings: str) -> subprocess.Popen[str]:
        line = [sys.executable, str(ROOT / "train.py"), "-m", *SHORT, "hydra.sweep.dir=sweep", *settings]
        begun.append(
            subprocess.Popen(
                line, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    assert code or "Traceback" not in err
    return out, err


def holder(folder: Path, process: subprocess.Popen[str]) -> int:
    """The process that runs the job in a folder, once it has saved a checkpoint."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if (folder / "checkpoints/last.ckpt").exists():
            for place in Path("/proc").glob("[0-9]*/fd/*"):
                with contextlib.suppress(OSError):
                    if place.readlink() == folder and int(place.parts[2]) != os.getpid():
                        return int(place.parts[2])
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError(f"nobody runs {folder}")


def statuses(folder: Path) -> dict[str, str]:
    return {path.parent.name: Run(path.parent).result["status"] for path in folder.glob("*/result.json")}


DONE = dict.fromkeys("012", "completed")
OFTEN = ["callbacks.checkpoint.every_n_windows=100"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [JOBLIB, SUBMITIT], ids=["joblib", "submitit"])
def test_jobs_run_side_by_side_and_a_sweep_started_again_keeps_them(
    launcher: list[str], start: Start, tmp_path: Path
) -> None:
    out, err = ended(start(*QUICK, *launcher, "seed=1,2"))
    assert "2 jobs, best first" in out
    threads = max(1, (os.cpu_count() or 1) // 2)
    assert f"2 jobs at once, on {threads} thread" in err
    results = [Run(tmp_path / "sweep" / job).result for job in "01"]
    assert [result["provenance"]["threads"] for result in results] == [threads, threads]
    assert [result["seed"] for result in results] == [1, 2]
    out, _ = ended(start(*QUICK, *launcher, "seed=1,2,3"))
    assert "3 jobs, best first" in out
    assert [Run(tmp_path / "sweep" / job).result for job in "01"] == results


@pytest.mark.slow
@linux
@pytest.mark.parametrize("launcher", [JOBLIB, SUBMITIT], ids=["joblib", "submitit"])
def test_a_killed_worker_stops_no_other_job(launcher: list[str], start: Start, tmp_path: Path) -> None:
    process = start(*LONG, *OFTEN, *launcher, "seed=1,2,3")
    os.kill(holder(tmp_path / "sweep/1", process), signal.SIGKILL)
    out, err = ended(process)
    assert "a worker was killed; the sweep goes on" in err
    assert "3 jobs, best first" in out
    assert statuses(tmp_path / "sweep") == DONE
    assert Run(tmp_path / "sweep/1").result["resumed_at"]
    assert len(Run(tmp_path / "sweep/1").curve()) == 50  # none twice


@pytest.mark.slow
@linux
@pytest.mark.parametrize("launcher", [JOBLIB, BASIC], ids=["joblib", "basic"])
def test_a_killed_head_loses_nothing(launcher: list[str], start: Start, tmp_path: Path) -> None:
    process = start(*LONG, *OFTEN, *launcher, "seed=1,2,3")
    holder(tmp_path / "sweep/1", process)
    process.kill()
    process.communicate(timeout=60)  # that is, its workers have ended too
    out, _ = ended(start(*LONG, *OFTEN, *launcher, "seed=1,2,3"))
    assert "3 jobs, best first" in out
    assert statuses(tmp_path / "sweep") == DONE
    assert [len(Run(tmp_path / "sweep" / job).curve()) for job in DONE] == [50, 50, 50]


@pytest.mark.slow
@linux
def test_a_signal_to_the_head_saves_the_jobs_of_joblib(start: Start, tmp_path: Path) -> None:
    settings = [*LONG, "callbacks.checkpoint.every_n_windows=300", *JOBLIB, "seed=1,2,3"]
    process = start(*settings)
    holder(tmp_path / "sweep/1", process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "a worker was killed" not in err
    at = [torch.load(tmp_path / f"sweep/{job}/checkpoints/last.ckpt")["training"]["windows"] for job in "01"]
    assert any(windows % 300 for windows in at), "they were saved at the signal"
    assert all("SIGTERM" in Run(tmp_path / "sweep" / job).result["error"] for job in "01")
    ended(start(*settings))
    assert statuses(tmp_path / "sweep") == DONE


FULL = """
import errno

import pytorch_lightning as pl


class FullDisk(pl.Callback):
    def on_train_batch_end(self, trainer, module, *_):
        if "/1/" in str(trainer.default_root_dir) + "/":
            raise OSError(errno.ENOSPC, "No space left on device")
"""


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [JOBLIB, SUBMITIT], ids=["joblib", "submitit"])
def test_a_full_disk_under_one_job_stops_no_other(launcher: list[str], start: Start, tmp_path: Path) -> None:
    (tmp_path / "full.py").write_text(FULL)
    out, _ = ended(start(*QUICK, *launcher, "seed=1,2,3", "+callbacks.full._target_=full.FullDisk"), code=1)
    assert statuses(tmp_path / "sweep") == {**DONE, "1": "failed"}
    row = out[out.index("3 jobs, best first") :].splitlines()[4]
    assert row.split()[:2] == ["1", "failed"]
    assert "No space left on device" in row


@pytest.mark.slow
def test_two_sweeps_in_one_folder_do_every_job_once(start: Start, tmp_path: Path) -> None:
    processes = [start(*LONG, "accelerator.threads=1", "seed=1,2,3") for _ in range(2)]
    ends = [process.communicate(timeout=240) for process in processes]
    assert any("another run is using" in err for _, err in ends)
    assert statuses(tmp_path / "sweep") == DONE
    assert [len(Run(tmp_path / "sweep" / job).curve()) for job in DONE] == [50, 50, 50]


@pytest.mark.slow
@linux
def test_a_preempted_job_saves_at_once_and_the_same_command_goes_on(start: Start, tmp_path: Path) -> None:
    page = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^python train.py -m (hydra/launcher=submitit_slurm .*)$", page, re.MULTILINE)
    words = [word for word in line.split() if not word.startswith(("hydra.launcher.max_num_timeout", "hydra.sweep"))]
    local = [word.replace("slurm", "local") for word in words]
    process = start(*LONG, "callbacks.checkpoint.every_n_windows=300", *local)
    os.kill(holder(tmp_path / "sweep/1", process), signal.SIGUSR2)
    ended(process)
    (at,) = Run(tmp_path / "sweep/1").result["resumed_at"]
    assert at % 300, "it was saved at the signal, not by the calendar"
    logs = "".join(path.read_text() for path in (tmp_path / "sweep/.submitit").glob("*/*_log.err"))
    assert f"resuming from {tmp_path / 'sweep/1/checkpoints/last.ckpt'} at window {at:,}" in logs
    assert statuses(tmp_path / "sweep") == {"0": "completed", "1": "completed"}
    assert len(Run(tmp_path / "sweep/1").curve()) == 50


# Searches


SEARCH = ["+sweep=search_baseline", "hydra.sweeper.n_trials=4"]
SPACE = {"model.hidden_size": "choice(16,24)", "model.dropout": "interval(0,0.5)"}
SEARCH += [
    f"hydra.sweeper.params={{{','.join(f'{name}:{chr(34)}{values}{chr(34)}' for name, values in SPACE.items())}}}"
]


def trials(folder: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(folder / "search.db")) as storage:
        return [state for (state,) in storage.execute("SELECT state FROM trials ORDER BY trial_id")]


@pytest.mark.slow
@linux
@pytest.mark.parametrize("launcher", [BASIC, [*JOBLIB, "hydra.sweeper.n_jobs=2"]], ids=["basic", "joblib"])
def test_a_killed_search_goes_on_and_counts_nothing_twice(launcher: list[str], start: Start, tmp_path: Path) -> None:
    settings = [setting for setting in [*LONG, *OFTEN, *SEARCH, *launcher] if setting != "hydra/launcher=basic"]
    process = start(*settings)
    folder = tmp_path / "sweep"
    while len([*folder.glob("*/checkpoints/last.ckpt")]) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)
    out, err = ended(start(*settings))
    assert "4 jobs, best first" in out
    assert [*statuses(folder).values()] == ["completed"] * 4
    assert trials(folder).count("COMPLETE") == 4
    assert "RUNNING" not in trials(folder)
    out, err = ended(start(*settings))
    assert "has 4 finished trials; 0 are left" in err
    assert len(trials(folder)) == trials(folder).count("COMPLETE") + trials(folder).count("FAIL")


# Without the packages


ABSENT = """
import sys
import types

plugins = types.ModuleType("hydra_plugins")
plugins.__path__ = []
sys.modules["hydra_plugins"] = plugins
sys.argv = ["train.py", *sys.argv[1:]]
from lm.__main__ import run

run("train")
"""


@pytest.mark.parametrize(
    ("settings", "extra"),
    [
        (["+sweep=search_baseline"], "optuna"),
        (["hydra/launcher=joblib", "seed=1,2"], "joblib"),
        pytest.param(["hydra/launcher=submitit_slurm", "seed=1,2"], "slurm", marks=pytest.mark.slow),
        pytest.param(["hydra/launcher=submitit_local", "seed=1,2"], "slurm", marks=pytest.mark.slow),
        pytest.param(["hydra/sweeper=optuna", "seed=1,2"], "optuna", marks=pytest.mark.slow),
    ],
)
def test_an_absent_package_is_named_with_its_pip_line(settings: list[str], extra: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", ABSENT, "-m", *settings]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f'is not installed: pip install "recurrent-lm[{extra}]"' in done.stderr
