"""README's commands do what they say."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PTB, needs_ptb

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SETUP, TESTS = re.findall(r"^    (python3 -m venv .*)$", README, flags=re.MULTILINE)
COMMANDS = [
    line.split("  #")[0] for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.split("\n")
]
COMMANDS = [line.strip() for line in COMMANDS if line.startswith("python ")]
SHORT = ["trainer.limit_train_batches=2", "trainer.limit_val_batches=2", "trainer.limit_test_batches=2"]
SHORT += ["trainer.max_epochs=1"]
QUICK = ["windows=[1,2]", "lengths=[]", "streams=[1,2]", "rounds=1", "updates=1", "places=1"]


def test_readme_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 200


@pytest.mark.slow
@needs_ptb
def test_the_commands_run_as_they_are_written(tmp_path: Path) -> None:
    """All commands in order, in a separate folder; training stops after two windows."""
    assert len(COMMANDS) >= 8
    (tmp_path / "README.md").symlink_to(ROOT / "README.md")
    for line in COMMANDS:
        script, *arguments = shlex.split(line)[1:]
        if script == "train.py":
            small = [] if "quickstart" in line or "checkpoint=" in line else ["model.hidden_size=16"]
            arguments = [*SHORT, *small, *arguments]
        if script == "scripts/tbptt.py":
            arguments = [*QUICK, *arguments]
        done = subprocess.run(
            [sys.executable, str(ROOT / script), *arguments], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout
    (notebook,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", notebook], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the class" in done.stdout
    assert PTB.is_dir()


@pytest.mark.slow
def test_the_first_command_works_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    done = subprocess.run(["bash", "-c", SETUP], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "test perplexity" in done.stdout
    assert "sample" in done.stdout
