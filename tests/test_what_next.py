"""The commands that a run names at its end: each works as it is typed."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

from lm.cli.program import program, shown_path

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("typed", "train", "sample"),
    [
        ("train.py", "train.py", "scripts/sample.py"),
        ("scripts/sample.py", "train.py", "scripts/sample.py"),
        ("../clone/train.py", "../clone/train.py", "../clone/scripts/sample.py"),
        ("/usr/lib/lm/__main__.py", "-m lm train", "-m lm sample"),
        ("/usr/bin/ipykernel_launcher.py", "-m lm train", "-m lm sample"),
    ],
)
def test_a_command_is_called_as_this_one_was(
    typed: str, train: str, sample: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [typed])
    monkeypatch.setattr(shutil, "which", lambda *_, **__: sys.executable)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    if ".." in typed:
        train, sample = (str(tmp_path / place.removeprefix("../")) for place in (train, sample))
    assert (program("train"), program("sample")) == (f"python {train}", f"python {sample}")
    assert shown_path(tmp_path / "here/runs/a") == "runs/a"
    assert shown_path(tmp_path) == str(tmp_path)


def test_another_python_than_the_one_on_the_path_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "a b/bin/python"))
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/usr/bin/python")
    monkeypatch.chdir(tmp_path)
    assert program("sample") == "'a b/bin/python' scripts/sample.py"


@pytest.mark.slow
def test_each_line_works_when_it_is_pasted(tmp_path: Path, text_file: Path) -> None:
    settings = ["data=text", f"data.train={text_file}", *TINY, f"hydra.run.dir={tmp_path / 'a run'}"]
    done = subprocess.run([sys.executable, "train.py", *settings], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.strip() for line in done.stdout.partition("\n  next\n")[2].splitlines()]
    assert len(lines) == 4
    for line in lines:
        if "tensorboard" in line:  # it would not end
            assert shutil.which(shlex.split(line)[0]) or (ROOT / shlex.split(line)[0]).is_file()
            assert Path(shlex.split(line)[-1]).is_dir()
        else:
            subprocess.run(line, shell=True, cwd=ROOT, check=True, capture_output=True)
