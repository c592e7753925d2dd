"""Sweeps: a failed job stops no other, the table is right, and a sweep started again resumes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY, Done, Run

from lm.commands.sweep_table import table
from lm.system.files import write_json

ROOT = Path(__file__).parent.parent


def test_the_table_is_ordered_by_the_best_validation_score(tmp_path: Path) -> None:
    def job(name: str, **result: Any) -> None:
        (tmp_path / name).mkdir()
        write_json(
            tmp_path / name / "result.json", {"seconds": 1.0, "overrides": ["data=text", f"seed={name}"], **result}
        )

    def done(valid: float) -> dict[str, Any]:
        test = {"perplexity": valid + 1, "tokens": 200, "unknown": 13}
        figures = {"valid": {"perplexity": valid}, "test": test, "best": {"epoch": 2}}
        return {"status": "completed", **figures}

    job("0", status="failed", error="no luck")
    job("1", **done(30.0))
    job("2", **done(20.0))
    lines = table(tmp_path).splitlines()
    assert "3 jobs" in lines[0]
    assert [line.split()[0] for line in lines[2:5]] == ["2", "1", "0"]
    assert lines[2].split()[1:4] == ["20.00", "21.00", "6.5%"]
    assert "seed=0: no luck" in lines[4]
    assert lines[5].strip() == "all jobs with data=text"


def sweep(call: Callable[..., Done], folder: Path, text: Path, expect: int) -> Done:
    settings = [
        "data=text",
        f"data.train={text}",
        *TINY,
        "trainer.limit_train_batches=3",
        "trainer.limit_val_batches=1",
    ]
    settings += ["trainer.limit_test_batches=1", "data.window=6,0,5", f"hydra.sweep.dir={folder}"]
    settings += ["hydra.callbacks.table.report=false"]
    done = call("train", "-m", *settings)
    assert done.code == expect, done.err
    return done


def test_a_broken_job_is_contained_and_the_sweep_goes_on_where_it_stood(
    tmp_path: Path, text_file: Path, call: Callable[..., Done]
) -> None:
    first = sweep(call, tmp_path, text_file, expect=1)
    runs = [Run(tmp_path / job) for job in "012"]
    assert [run.result["status"] for run in runs] == ["completed", "failed", "completed"]
    assert "data.window must be at least 1; got 0" in runs[1].result["error"]
    assert "data.window must be at least 1; got 0" in first.err
    assert "Traceback" not in first.err
    rows = first.out[first.out.index("3 jobs, best first") :].splitlines()
    scores = {job: runs[job].result["valid"]["perplexity"] for job in (0, 2)}
    assert [int(row.split()[0]) for row in rows[2:5]] == [*sorted(scores, key=lambda job: scores[job]), 1]
    assert f"tensorboard --logdir {tmp_path}" in first.out

    # As if the last job had been killed before its test.
    before = runs[0].result
    write_json(runs[2].dir / "result.json", {**runs[2].result, "status": "failed"})
    curve = runs[2].curve()
    second = sweep(call, tmp_path, text_file, expect=1)
    assert "skipped" in second.err
    assert runs[0].result == before
    assert runs[2].result["status"] == "completed"
    assert runs[2].result["resumed_at"] == [3]
    assert runs[2].curve() == curve
    assert json.loads((runs[2].dir / "result.json").read_text())["overrides"] == runs[2].result["overrides"]
    assert torch.load(runs[2].dir / "checkpoints/last.ckpt")["global_step"] == 3


@pytest.mark.slow
def test_a_prepared_sweep_runs_by_its_name_alone(tmp_path: Path, text_file: Path) -> None:
    """In a separate process, because its file asks for several jobs without -m."""
    settings = ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_train_batches=2"]
    settings += ["trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "~callbacks.projector"]
    done = subprocess.run(
        [sys.executable, "train.py", "+sweep=teacher_forcing", *settings, f"hydra.sweep.dir={tmp_path}", "seed=1",
         "hydra.callbacks.table.report=false"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    combinations = set()
    for job in "0123":
        forcing = Run(tmp_path / job).result["config"]["forcing"]
        combinations.add((forcing["feedback"], forcing["update"]))
    assert len(combinations) == 4
    assert "4 jobs, best first" in done.stdout


def test_jobs_of_different_tokenisers_are_in_the_order_of_bits_per_byte(tmp_path: Path) -> None:
    def job(name: str, perplexity: float, bits: float | None, vocabulary: int, status: str = "completed") -> None:
        score = {"perplexity": perplexity, "tokens": 9, "unknown": 0, "bits_per_byte": bits}
        result = {"status": status, "error": "no", "overrides": [f"data/tokeniser={name}"], "seconds": 1.0}
        result |= {"valid": score, "test": score, "best": {"epoch": 1}, "vocabulary": vocabulary}
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(result))

    job("bytes", 3.0, 1.5, 257)
    job("bpe", 200.0, 1.25, 8000)
    job("part", 2.0, None, 257)
    job("failed", 1.0, 0.1, 257, "failed")
    said = table(tmp_path)
    places = [said.index(f"  {name} ") for name in ("bpe", "bytes", "part", "failed")]
    assert places == sorted(places)
    assert "by bits per byte of the validation text" in said
    assert "1.250" in said
    assert "best first" not in said
