"""The commands and code of docs/ do what they say."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY, Done, Run, needs_ptb

from lm.sampling import Sampler

ROOT = Path(__file__).parent.parent
PARTS = (ROOT / "docs/adding-parts.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_pictures_are_small_and_each_is_shown() -> None:
    pages = "".join(page.read_text() for page in PAGES)
    for picture in (ROOT / "docs/pictures").iterdir():
        assert picture.stat().st_size < 100_000
        assert f"pictures/{picture.name})" in pages


def test_the_page_on_python_runs_as_it_is_written(
    tmp_path: Path, train: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "text").write_text("the class is a function\na function is not the class\n" * 50)
    train("data=text", f"data.train={tmp_path}/text", *TINY, "trainer.limit_train_batches=3", name="runs/quick")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    capsys.readouterr()
    exec(compile(code, "python.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in said[:7]] == ["the", "class", "is", "not", "a", "function", "<eos>"]
    assert said[-1].endswith("the class 0")


def test_the_jobs_on_sentences_run_as_they_are_written(
    tmp_path: Path, train: Callable[..., Run], call: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jiwer")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "text").write_text("the class is a function\na value is an object\n" * 60)
    train("data=text", f"data.train={tmp_path}/text", *TINY, "trainer.limit_train_batches=60", name="runs/quick")
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/sentences.md").read_text(), re.DOTALL)
    for line in "".join(blocks).splitlines():
        if line.startswith("printf"):
            subprocess.run(line, shell=True, check=True, cwd=tmp_path)
            continue
        python, script, *arguments = shlex.split(line)
        done = call(Path(script).stem, *arguments)
        assert (python, done.code) == ("python", 0), (line, done.err)
    assert (tmp_path / "surprisal.tsv").read_text().startswith("sentence\tposition\tword\ttokens\tknown\tsurprisal")
    assert len((tmp_path / "chosen.tsv").read_text().splitlines()) == 1
    assert {"figures.json", "accuracy.json", "scored.tsv"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_the_page_on_shipping_runs_as_it_is_written(
    tmp_path: Path,
    train: Callable[..., Run],
    call: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (ROOT / "docs/ship.md").read_text()
    onnx = all(importlib.util.find_spec(package) for package in ("onnx", "onnxscript", "onnxruntime"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "text").write_text("the class is a function\na function is not the class\n" * 50)
    train("data=text", f"data.train={tmp_path}/text", *TINY, "trainer.limit_train_batches=3", name="runs/quick")
    lines = re.findall(r"^    python (scripts/.*)$", page, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        script, *arguments = shlex.split(line)
        if onnx or "format=onnx" not in arguments:
            done = call(Path(script).stem, *arguments)
            assert done.code == 0, (line, done.err)
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    capsys.readouterr()
    for code in blocks[: 2 if onnx else 1]:
        exec(compile(code, "ship.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("['the class")
    assert len(said) == (7 if onnx else 2)


@pytest.fixture
def own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of docs/adding-parts.md, in the current folder."""
    files = re.findall(r"^`(my_parts/\S+)`:\n\n```\w+\n(.*?)```", PARTS, re.MULTILINE | re.DOTALL)
    assert len(files) == 8
    for name, content in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "my_parts/__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_parts_of_ones_own_work_as_they_are_written(
    own_parts: Path, train: Callable[..., Run], call: Callable[..., Done]
) -> None:
    (own_parts / "runs").mkdir()
    train("data=synthetic", "data.tokens=4000", *TINY, "trainer.limit_train_batches=3", name="runs/quick")
    (block,) = re.findall(r"```sh\n(.*?)```", PARTS, re.DOTALL)
    said = {}
    for line in block.strip().splitlines():
        python, module, package, name, *arguments = shlex.split(line)
        assert (python, module, package) == ("python", "-m", "lm")
        if name != "train":
            done = call(name, *arguments)
            assert done.code == 0, done.err
            said[name] = done.out
    assert said["sample"].strip()
    assert "(forgetful)" in said["evaluate"]

    def nats(*settings: str) -> str:
        done = call("evaluate", "--config-dir", "my_parts/conf", "checkpoint=runs/quick", *settings)
        return done.out.removesuffix("(forgetful)\n").removesuffix("(static)\n")

    assert nats("evaluator=forgetful", "evaluator.every=100000") == nats("evaluator=static")
    assert said["evaluate"] != nats("evaluator=static")
    wrong = call(
        "sample", "--config-dir", "my_parts/conf", "checkpoint=runs/quick", "sampler=typical", "sampler.mass=2"
    )
    assert (wrong.code, wrong.err) == (1, "error: sampler.mass must be above 0 and at most 1; got 2.0\n")

    from my_parts.typical import Typical

    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().unsqueeze(0)
    assert torch.equal(Typical(mass=1.0).distribution(logits), Sampler().distribution(logits))
    # The entropy is 1.14 nats: nearest are the words of 1.20, 0.69 and 1.90 nats, in this order.
    assert (Typical(mass=0.2).distribution(logits) > 0).tolist() == [[False, True, False, False]]
    assert (Typical(mass=0.7).distribution(logits) > 0).tolist() == [[True, True, False, False]]


def test_a_cell_and_a_model_of_ones_own_are_checked_and_trained(own_parts: Path, call: Callable[..., Done]) -> None:
    codes = [code for code in re.findall(r"```python\n(.*?)```", PARTS, re.DOTALL) if "lm.models.check(" in code]
    assert len(codes) == 2
    for code in codes:
        exec(compile(code, "adding-parts.md", "exec"), {})
    lines = re.findall(r"^python -m lm train (.*)$", PARTS, re.MULTILINE)
    assert len(lines) == 2
    short = [*TINY, "data.vocab_size=200", "trainer.limit_train_batches=3", "free_running=null"]
    trust = "trust=[my_parts.minimal_gated.MinimalGated,my_parts.feed_forward.FeedForward]"
    for name, line in enumerate(lines):
        done = call("train", *shlex.split(line), *short, f"hydra.run.dir=runs/{name}")
        assert done.code == 0, done.err
        assert "trust=" in call("sample", f"checkpoint=runs/{name}").err
        done = call("sample", f"checkpoint=runs/{name}", trust)
        assert (done.code, bool(done.out.strip())) == (0, True), done.err
    settings = json.loads((own_parts / "runs/0/result.json").read_text())["config"]["model"]
    assert settings["cell"]["gate_bias"] == -2


def dry(line: str) -> str:
    """The dry form of a command of docs/gpu.md."""
    if "-m pytest" in line:
        return f"{line} --dry"
    return f"{line} dry=true" if re.search(r"python (train|scripts/\w+)\.py", line) else line


@pytest.mark.slow
@needs_ptb
def test_the_card_s_half_hour_can_be_walked_through(tmp_path: Path) -> None:
    """All commands in order, in a fresh clone, on the processor."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/gpu.md").read_text(), re.DOTALL)
    prepare, install, *runs = ["\n".join(map(dry, block.strip().splitlines())) for block in blocks]
    assert len(runs) == 4
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LM_CACHE_DIR")}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OUT": str(tmp_path / "out")}
    (tmp_path / "out").mkdir()
    install = install.replace("/tmp/", f"{tmp_path}/")
    for script in [prepare, *(f"{install}\n{run}" for run in runs)]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=clone, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    back = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith("events")}
    names = ("benchmark", "baseline", "awd_lstm", "static", "cache", "dynamic")
    assert back == {f"{name}.json" for name in names}
    asked = ["git", "-C", str(clone), "status", "--porcelain"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == ""
