"""Several processes that share a batch's columns: they train as one process does, and end together."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, Run, resume

from lm.data.streams import RandomWindows, Windows
from lm.runs.random_state import differing_random_state
from lm.system.errors import UserError
from lm.system.launched import launched
from lm.system.placed import slurm_address
from lm.system.ranks import Ranks
from lm.system.signals import Interrupted, StopRequest

ROOT = Path(__file__).parent.parent
TWO = ["accelerator=ddp", "accelerator.devices=2", "accelerator.precision=32-true"]
SHORT = ["free_running=null", "trainer.limit_train_batches=20", "trainer.limit_val_batches=5", "data=synthetic"]
MODES = {
    "teacher": [],
    "no_tf": ["forcing=free_running", "forcing.update=token", "data.window=4"],
    "three windows": ["tbptt.windows=3"],
    "random lengths": ["tbptt.random_length=true"],
    "averaged": ["optim=ntasgd", "optim/average=exponential", "optim.lr=1"],
    "adaptive softmax": ["model/head=adaptive", "model.head.cutoffs=[5]"],
}


def weights(run: Run, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    content = torch.load(run.dir / "checkpoints" / name, weights_only=True)
    return {
        **content["state_dict"],
        **{f"state {i}": part for i, part in enumerate(sum(content["training"]["state"], ()))},
    }


def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference between two models and their carried states."""
    assert one.keys() == other.keys()
    return max(float((part - other[name]).abs().max()) for name, part in one.items())


@pytest.mark.parametrize(
    "mode", [pytest.param("teacher"), *(pytest.param(m, marks=pytest.mark.slow) for m in [*MODES][1:])]
)
def test_two_ranks_of_two_columns_train_as_one_of_four(mode: str, train: Callable[..., Run]) -> None:
    settings = [*TINY, *SHORT, *MODES[mode]]
    alone = train(*settings, name="alone")
    together = train(*settings, *TWO, name="together")
    one, two = alone.curve(), together.curve()
    assert list(two) == [*range(20)]
    assert max(abs(two[window] - one[window]) for window in one) < 1e-5
    assert differ(weights(alone), weights(together)) < 1e-5
    a, b = alone.result, together.result
    assert b["test"]["perplexity"] == pytest.approx(a["test"]["perplexity"], rel=1e-5)
    assert [b["training"][name] for name in ("windows", "tokens", "updates")] == [
        20,
        a["training"]["tokens"],
        a["training"]["updates"],
    ]
    assert (a["provenance"]["processes"], b["provenance"]["processes"]) == (1, 2)


def test_shares_are_the_columns_of_the_whole() -> None:
    ids = np.arange(103)
    for windows in (Windows(ids, 6, 4), RandomWindows(ids, 6, 6, seed=1)):
        whole = [windows[k] for k in range(len(windows))]
        for rank in range(3):
            windows = Windows(ids, 6, 4) if not isinstance(windows, RandomWindows) else RandomWindows(ids, 6, 6, seed=1)
            windows.keep(Ranks(rank, 3).share(6))
            for k, window in enumerate(whole):
                own = slice(2 * rank, 2 * rank + 2)
                assert torch.equal(windows[k].inputs, window.inputs[own])
                assert torch.equal(windows[k].targets, window.targets[own])
                assert np.array_equal(windows[k].reset, window.reset[own])
    with pytest.raises(UserError, match="multiple of 4"):
        Ranks(0, 4).share(6)


def test_places_of_torchrun_and_srun() -> None:
    torchrun = {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    found = launched(torchrun)
    assert found is not None
    assert (found.rank, found.size, found.local_rank, found.local_size) == (3, 4, 1, 2)
    srun = {
        "SLURM_PROCID": "5",
        "SLURM_STEP_NUM_TASKS": "8",
        "SLURM_LOCALID": "1",
        "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    }
    found = launched(srun)
    assert found is not None
    assert (found.by, found.rank, found.size, found.local_rank, found.local_size) == ("srun", 5, 8, 1, 4)
    assert launched({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) is None  # sbatch without srun
    assert launched({**srun, "SLURM_STEP_NUM_TASKS": "1"}) is None


FAILS = """
import os

import pytorch_lightning as pl

from lm.system.errors import UserError


class Fails(pl.Callback):
    def on_train_batch_end(self, trainer, module, *_):
        rank, window, kind = os.environ.get("FAILS", "all -1 user").split()
        if module.windows == int(window) and rank in ("all", str(trainer.global_rank)):
            raise UserError("the roof is on fire") if kind == "user" else ZeroDivisionError("nothing by nothing")
"""
LONG = [*TINY, "free_running=null", "data=synthetic", "trainer.limit_train_batches=16", "trainer.limit_val_batches=5"]
LONG += ["callbacks.checkpoint.every_n_windows=5", "callbacks.projector=null", "callbacks.samples=null"]
ALONE, FOUR = ["accelerator=cpu", "accelerator.precision=32-true"], [*TWO, "accelerator.devices=4"]
DROPOUT = ["model.dropout=0.3", "tbptt.reset=0.1"]


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., UserError]:
    """Start a run in the folder `parts` that fails after window 7, and return its error.

    Its checkpoint is of window 5, in the middle of the epoch.
    """
    (tmp_path / "fails.py").write_text(FAILS)
    monkeypatch.syspath_prepend(str(tmp_path))

    def start(*settings: str, rank: str = "all", kind: str = "user") -> UserError:
        monkeypatch.setenv("FAILS", f"{rank} 7 {kind}")
        (tmp_path / "parts").mkdir(exist_ok=True)
        with pytest.raises((UserError, ZeroDivisionError)) as raised:
            resume(tmp_path / "parts", *LONG, *settings, "+callbacks.fails._target_=fails.Fails")
        monkeypatch.delenv("FAILS")
        return raised.value  # type: ignore[return-value]

    return start


def go_on(tmp_path: Path, *settings: str) -> Run:
    return resume(tmp_path / "parts", *LONG, *settings, "checkpoint=last", "trust=[fails.Fails]")


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(TWO, ALONE), (ALONE, TWO), (TWO, FOUR)])
def test_a_run_goes_on_with_another_number_of_ranks(
    before: list[str], after: list[str], train: Callable[..., Run], broken: Callable[..., UserError], tmp_path: Path
) -> None:
    whole = train(*LONG, name="whole")
    broken(*before)
    parts = go_on(tmp_path, *after)
    assert parts.result["resumed_at"] == [5]
    assert differ(weights(whole), weights(parts)) < 1e-5
    assert parts.curve() == pytest.approx(whole.curve(), abs=1e-5)


@pytest.mark.slow
def test_a_seed_gives_the_same_run_again_and_so_does_resuming_with_dropout(
    train: Callable[..., Run], broken: Callable[..., UserError], tmp_path: Path
) -> None:
    one, two = (train(*LONG, *TWO, *DROPOUT, name=name) for name in ("one", "two"))
    assert differ(weights(one), weights(two)) == 0
    broken(*TWO, *DROPOUT)
    assert differ(weights(one), weights(go_on(tmp_path, *TWO, *DROPOUT))) == 0
    other = train(*LONG, *TWO, *DROPOUT, "seed=1", name="other")
    assert differ(weights(one), weights(other)) > 0


@pytest.mark.slow
def test_lightnings_callbacks_work_on_every_rank_and_the_profile_on_the_first(train: Callable[..., Run]) -> None:
    monitor = "+callbacks.rate._target_=pytorch_lightning.callbacks.LearningRateMonitor"
    early = (
        "+callbacks.early={_target_:pytorch_lightning.callbacks.EarlyStopping,monitor:valid/perplexity,min_delta:1000}"
    )
    stopped = ["trainer.max_epochs=9", early.replace("min_delta", "patience:1,min_delta")]
    run = train(*LONG, *TWO, monitor, *stopped, "trainer.profile=true", "+trainer.max_time=00:01:00:00")
    assert run.result["training"]["windows"] == 32, "both stopped after the second epoch"
    assert (run.dir / "profile.txt").exists()


def test_a_stop_is_agreed_on_and_none_is_lost() -> None:
    first, second = StopRequest(), StopRequest()

    def agree(*requests: StopRequest) -> None:
        numbers: list[int] = []
        for request in requests:
            request.agree(lambda own: numbers.extend(own) or own)
        for request in requests:
            request.agree(lambda own: [max(numbers)])

    agree(first, second)
    second.note(signal.SIGTERM, None)
    assert not first
    assert not second, "a checkpoint now would wait for the other rank"
    agree(first, second)
    for request in (first, second):
        with pytest.raises(Interrupted, match="SIGTERM"):
            request.obey()
    first.note(signal.SIGINT, None)  # its own, later: not a repetition
    with pytest.raises(Interrupted, match="SIGINT"):
        first.note(signal.SIGINT, None)


def test_random_draws_differ_between_ranks_and_follow_from_the_seed() -> None:
    def drawn(seed: int, rank: int) -> float:
        torch.manual_seed(seed)
        differing_random_state(Ranks(rank, 3))
        return float(torch.rand(()))

    with torch.random.fork_rng():
        draws = [drawn(seed, rank) for seed in (0, 1) for rank in range(3)]
        assert len(set(draws)) == 6
        assert drawn(1, 2) == draws[-1]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("user", "rank 1 failed: the roof"),
        pytest.param("bug", "rank 1 failed: ZeroDivisionError", marks=pytest.mark.slow),
    ],
)
def test_a_failing_rank_ends_the_others_which_say_why(
    kind: str, said: str, broken: Callable[..., UserError], tmp_path: Path
) -> None:
    began = time.monotonic()
    error = str(broken(*TWO, rank="1", kind=kind))
    assert time.monotonic() - began < 60
    assert error.startswith(said)
    assert f"checkpoint={tmp_path / 'parts'}" in error
    result = Run(tmp_path / "parts").result
    assert result["status"] == "failed"
    assert said in result["error"]
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]


# In processes of their own


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start train.py for a long run in the folder `run`, on two ranks or under another launcher."""

    def start(
        *settings: str,
        under: list[str] = [],  # noqa: B006
        folder: str = "run",
        environment: dict[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        run = [] if "-m" in settings or not folder else [f"hydra.run.dir={folder}"]
        line = [sys.executable, *under, str(ROOT / "train.py"), *LONG, *TWO, *run, *settings]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(line, cwd=tmp_path, env=environment, **streams)

    return start


ENDLESS = ["trainer.limit_train_batches=null", "trainer.max_epochs=200"]


def companion(process: subprocess.Popen[str]) -> int:
    """The process number of rank 1, once training has begun."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            for child in children:
                if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("no companion was started")


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")


@linux
@pytest.mark.slow
@pytest.mark.parametrize(("rank", "signum", "code"), [(1, signal.SIGTERM, 143), (0, signal.SIGINT, 130)])
def test_a_signal_to_one_rank_stops_all_after_the_same_window(
    rank: int, signum: int, code: int, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start(*ENDLESS)
    wait_for(tmp_path / "run/checkpoints/last.ckpt", process)
    other = companion(process)
    os.kill(other if rank else process.pid, signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert not Path(f"/proc/{other}").exists()
    run = Run(tmp_path / "run")
    assert signal.Signals(signum).name in run.result["error"]
    saved = torch.load(tmp_path / "run/checkpoints/last.ckpt")["training"]["windows"]
    assert max(run.curve()) in (saved - 1, saved)


@linux
@pytest.mark.slow
def test_a_killed_rank_ends_the_others(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    for rank in (1, 0):
        process = start(*ENDLESS, folder=f"run{rank}")
        wait_for(tmp_path / f"run{rank}/checkpoints/last.ckpt", process)
        other, began = companion(process), time.monotonic()
        os.kill(other if rank else process.pid, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        while Path(f"/proc/{other}").exists() and time.monotonic() - began < 60:
            time.sleep(0.1)
        assert time.monotonic() - began < 60
        if rank:
            assert "error: rank 1 was ended by SIGKILL; go on with" in err
            assert process.returncode == 1


@linux
@pytest.mark.slow
def test_ten_kills_of_one_rank_end_in_the_same_weights(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    more = ["trainer.limit_train_batches=400", "callbacks.checkpoint.every_n_windows=3", *DROPOUT, "checkpoint=last"]
    process = start(*more, folder="whole")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    rng = np.random.default_rng(0)
    written = tmp_path / "run/checkpoints/last.ckpt"
    for kill in range(10):
        before = written.stat().st_mtime_ns if written.exists() else 0
        process = start(*more)
        while process.poll() is None and not (written.exists() and written.stat().st_mtime_ns != before):
            time.sleep(0.01)
        other = companion(process)
        time.sleep(rng.uniform(0, 0.3))
        os.kill(other if kill % 2 else process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    process = start(*more)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "run")
    assert len(parts.result["resumed_at"]) >= 5
    assert differ(weights(whole), weights(parts)) == 0
    assert parts.curve() == whole.curve()


TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--rdzv-backend=c10d"]
TORCHRUN += ["--rdzv-endpoint=127.0.0.1:0"]


@pytest.mark.slow
def test_torchrun_trains_the_same_run_in_one_folder(
    start: Callable[..., subprocess.Popen[str]], train: Callable[..., Run], tmp_path: Path
) -> None:
    process = start(under=TORCHRUN, folder="")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    (folder,) = (tmp_path / "runs").glob("*/*")
    assert differ(weights(Run(folder)), weights(train(*LONG, *TWO, name="own"))) == 0
    assert err.count("precision:") == 1, "the other ranks print nothing"
    process = start("accelerator=cpu", "accelerator.devices=1", under=TORCHRUN)
    _, err = process.communicate(timeout=200)
    assert process.returncode != 0
    assert "add accelerator=ddp" in err


@pytest.mark.slow
def test_a_step_of_slurm_trains_the_same_run(
    start: Callable[..., subprocess.Popen[str]], train: Callable[..., Run], tmp_path: Path
) -> None:
    """srun itself is not here: only its environment, as Slurm documents it."""
    step = {"SLURM_JOB_ID": "41", "SLURM_STEP_ID": "7", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_NUM_TASKS": "2"}
    step |= {
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_NTASKS": "2",
        "SLURM_JOB_NAME": "lm",
        "SLURM_NODELIST": "elsewhere",
    }
    processes = [
        start(environment={**os.environ, **step, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}) for rank in "10"
    ]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert differ(weights(Run(tmp_path / "run")), weights(train(*LONG, *TWO, name="own"))) == 0
    assert slurm_address(step) == ("localhost", "15048")


@pytest.mark.slow
@pytest.mark.parametrize("under", [[], TORCHRUN], ids=["own", "torchrun"])
def test_a_failing_job_of_a_sweep_stops_no_other(
    under: list[str], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("-m", "data.window=6,0,5", "hydra.sweep.dir=sweep", under=under)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 1, err
    assert "data.window must be at least 1; got 0" in err
    statuses = [json.loads((tmp_path / "sweep" / job / "result.json").read_text())["status"] for job in "012"]
    assert statuses == ["completed", "failed", "completed"]


@pytest.mark.slow
def test_each_rank_has_its_share_of_the_threads(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    free = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    alone = start("accelerator=cpu", "accelerator.devices=1", folder="alone", environment=free)
    together = start(environment=free)
    for process in (alone, together):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    whole, share = (Run(tmp_path / name).result["provenance"]["threads"] for name in ("alone", "run"))
    assert share == max(1, whole // 2)


@pytest.mark.slow
@pytest.mark.parametrize("under", [[], TORCHRUN], ids=["own", "torchrun"])
def test_a_job_of_a_sweep_may_have_several_ranks(
    under: list[str], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    sweep = ["-m", "seed=1,2", "hydra.sweep.dir=sweep"]
    for again in (False, True):
        process = start(*sweep, under=under)
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert out.count("2 jobs, best first") == 1
        assert err.count("is already finished") == 2 * again
        assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep"]
        assert {path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()} == {"0", "1", "report"}
    assert json.loads((tmp_path / "sweep/0/result.json").read_text())["provenance"]["processes"] == 2
