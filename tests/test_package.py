"""The package as users use it: from a notebook, and installed, in any folder."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

import lm
from lm.__main__ import COMMANDS
from lm.evaluation import Static, evaluate
from lm.system.errors import UserError

ROOT = Path(__file__).parent.parent
SMALL = ["data=synthetic", "data.tokens=4000", *TINY, "trainer.limit_train_batches=3"]


def test_a_notebook_trains_twice_and_uses_what_it_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.getLogger().handlers)
    first, second = (lm.train([*SMALL, f"seed={seed}", f"hydra.run.dir={tmp_path / str(seed)}"]) for seed in (1, 2))
    assert (first.folder, second.folder) == (tmp_path / "1", tmp_path / "2")
    assert first.result["status"] == second.result["status"] == "completed"
    assert first.result["test"]["perplexity"] != second.result["test"]["perplexity"]
    assert "seed=2" in second.result["overrides"]
    assert "valid perplexity" in (second.folder / "train.log").read_text()
    assert logging.getLogger().handlers == handlers
    trained = lm.load(first.folder)
    assert trained.config["seed"] == 1
    score, _ = evaluate(Static(), trained.model, trained.vocab.sentence("w1 w2\n"), trained.vocab.unk)
    assert score.tokens == 3
    assert "test perplexity" in capsys.readouterr().out
    on = lm.train([f"checkpoint={first.folder}", "trainer.max_epochs=2"], quiet=True)
    assert capsys.readouterr() == ("", "")
    assert "test perplexity" in (on.folder / "train.log").read_text()
    assert on.folder == first.folder
    assert on.result["resumed_at"] == [3]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["modle=lstm"], "Did you mean model?"),
        (["-m", "seed=1,2"], "one job"),
        (["checkpoint=last"], "hydra.run.dir=DIR"),
        (["seed=x"], "a whole number"),
    ],
)
def test_a_mistake_in_a_notebook_is_a_sentence(settings: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        lm.train(settings)


def test_every_command_is_there_both_ways() -> None:
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert {"train", *scripts} == set(COMMANDS) == {path.stem for path in (ROOT / "conf").glob("*.yaml")}
    assert all((ROOT / "lm/commands" / f"{name}.py").is_file() for name in COMMANDS)


def module(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lm", *arguments],
        capture_output=True,
        text=True,
        cwd=settings.pop("cwd", str(ROOT)),
        env={**os.environ, **settings},
    )


def test_a_command_that_is_none_is_told() -> None:
    done = module("trian")
    assert (done.returncode, done.stderr) == (1, "error: trian: there is no such command. Did you mean train?\n")
    done = module()
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.slow
def test_the_wheel_is_used_outside_the_clone(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    use = {"cwd": str(elsewhere), "PYTHONPATH": str(site)}
    done = module("train", *SMALL, "model=awd_lstm", "model.num_layers=2", "hydra.run.dir=run", **use)
    assert done.returncode == 0, done.stderr
    for command in ("sample checkpoint=run", "evaluate checkpoint=run", "distance checkpoint=run words=[w1,w2]"):
        done = module(*command.split(), **use)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    asked = "import lm; t = lm.load('run'); print(lm.__file__, len(t.vocab)); lm.train(['checkpoint=run', 'seed=0'])"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    assert not list(elsewhere.glob("*/.git"))
