"""Parts from outside the project: a user's own cell, in the user's own package and conf folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, Done, configure
from omegaconf import OmegaConf

from lm.cli.blame import foreign_place
from lm.cli.program import program
from lm.commands.sweep_table import SweepTable
from lm.commands.what_next import resume_command
from lm.config.trust import foreign, refuse_foreign
from lm.evaluation import Static, evaluate
from lm.runs.trained import load
from lm.sampling.generate import generate
from lm.sampling.sampler import Sampler
from lm.system.errors import UserError

ROOT = Path(__file__).parent.parent
Use = Callable[..., Done]
CELL = '''
from dataclasses import dataclass
import torch
from torch import nn
from lm.models.cells import Cell, RecurrentLayer

class Layer(RecurrentLayer):
    """A gated unit without a second memory: it returns that memory unchanged."""

    def __init__(self, into, size):
        super().__init__()
        self.hidden_size = size
        self.gate, self.candidate = nn.Linear(into + size, size), nn.Linear(into + size, size)

    def first(self, batch_size):
        return (*super().first(batch_size), *super().first(batch_size))

    def step(self, x, memory):
        h, rest = memory
        both = torch.cat([x, h], -1)
        share = self.gate(both).sigmoid()
        h = (1 - share) * h + share * self.candidate(both).tanh()
        return h, (h, rest)

@dataclass(frozen=True)
class Minimal(Cell):
    def layer(self, input_size, hidden_size):
        return Layer(input_size, hidden_size)

class Half(Cell):
    pass

class Breaks(Cell):
    def layer(self, input_size, hidden_size):
        raise ValueError("not today")

class Wrong(Cell):
    def layer(self, input_size, hidden_size):
        return None
'''
OTHERS = """
from pytorch_lightning import Callback
from pytorch_lightning.loggers import CSVLogger

class Fails(Callback):
    def on_train_start(self, trainer, module):
        {}["no such key"]

class ReadsNothing(Callback):
    def on_train_start(self, trainer, module):
        open("/nowhere/at all")

class LacksPackage(Callback):
    def on_train_start(self, trainer, module):
        import a_module_that_is_not_there.inside

class LacksModule(Callback):
    def on_train_start(self, trainer, module):
        import torch.a_module_that_is_not_there

class FailingLogger(CSVLogger):
    def log_metrics(self, metrics, step=None):
        raise RuntimeError("no disk")

class CallsUsWrongly(Callback):
    def on_train_start(self, trainer, module):
        from lm.data.vocabulary import WHITESPACE, Vocab
        Vocab.from_dict({}, WHITESPACE)
"""
NAME = "own_cells.Minimal"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, its configuration and a run trained with them."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_cells.py").write_text(CELL)
    (folder / "own_others.py").write_text(OTHERS)
    (folder / "own_broken.py").write_text("import a_module_that_is_not_there\n")
    (folder / "conf/model/cell").mkdir(parents=True)
    (folder / "conf/model/cell/minimal.yaml").write_text(f"_target_: {NAME}\n")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    whole = [sys.executable, "train.py", *trained(folder), f"hydra.run.dir={folder}/run"]
    done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def use(own: Path, call: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """A command with the package on the Python path."""
    monkeypatch.syspath_prepend(str(own))
    return call


def trained(folder: Path) -> list[str]:
    chosen = ["--config-dir", f"{folder}/conf", "model=zaremba", "model/cell=minimal", "data=synthetic"]
    return [*chosen, "data.tokens=4000", *TINY, "model.hidden_size=16", "trainer.limit_train_batches=3"]


@pytest.mark.parametrize("script", ["sample", "evaluate", "distance words=[w1,w2]"])
def test_a_checkpoint_with_a_cell_of_ones_own_is_used_once_it_is_trusted(own: Path, use: Use, script: str) -> None:
    name, *rest = script.split()
    refused = use(name, f"checkpoint={own}/run", *rest)
    assert refused.code == 1
    assert f"trust=[{NAME}]" in refused.err
    done = use(name, f"checkpoint={own}/run", *rest, f"trust=[{NAME}]")
    assert done.code == 0, done.err


def test_a_run_with_a_cell_of_ones_own_goes_on(own: Path, use: Use) -> None:
    on = ["train", f"checkpoint={own}/run", "trainer.max_epochs=2", f"hydra.run.dir={own}/on"]
    refused = use(*on)
    assert refused.code == 1
    assert f"trust=[{NAME}]" in refused.err
    done = use(*on, f"trust=[{NAME}]")
    assert done.code == 0, done.err
    assert "trust" not in torch.load(own / "on/checkpoints/last.ckpt")["config"]  # no checkpoint says what to trust
    assert resume_command(Path("a b"), [NAME]) == f"{program('train')} 'checkpoint=a b' 'trust=[{NAME}]'"
    assert resume_command(Path("a"), []) == f"{program('train')} checkpoint=a"


@pytest.mark.slow
def test_a_sweep_over_it_reports_on_all_its_runs(own: Path, use: Use) -> None:
    settings = [argument for argument in trained(own) if argument != "model/cell=minimal"]
    done = use("train", "-m", *settings, "model/cell=minimal,lstm", f"hydra.sweep.dir={own}/sweep")
    assert done.code == 0, done.err
    report = json.loads((own / "sweep/report/report.json").read_text())
    assert len(report["differences"]) == 1
    assert not any("asks to run" in row["reason"] for row in report["refused"])
    alone = use("compare", f"runs=[{own}/sweep]", f"out={own}/alone", "sequences=2")
    assert alone.code == 0, alone.err
    said = (own / "alone/report.md").read_text()
    assert "different texts" not in said
    assert "is not known" in said


def test_what_a_notebook_does(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(own))
    with pytest.raises(UserError, match=rf"trust=\[{NAME}\] \(in Python: trusted=\['{NAME}'\]\)"):
        load(own / "run")
    trained = load(own / "run", trusted=[NAME])
    prompt = trained.vocab.encode("w1 w2 w3")
    ids = generate(trained.model, Sampler(max_new_tokens=4), trained.vocab, prompt.astype(np.uint16))
    assert ids[0, :3].tolist() == prompt.tolist()
    text = trained.vocab.sentence("w1 w2 w3")
    assert text[0] == trained.vocab.eos
    score, scored = evaluate(Static(), trained.model, text, trained.vocab.unk)
    assert score.tokens == 3
    assert torch.equal(evaluate(Static(), trained.model, text.tolist(), trained.vocab.unk)[1].nats, scored.nats)
    with pytest.raises(UserError, match=r"a text of 1 ids has nothing to score.*Vocab\.sentence"):
        evaluate(Static(), trained.model, text[:1], trained.vocab.unk)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("own_broken.X", "own_broken cannot be imported: No module named 'a_module_that_is_not_there'"),
        ("own_cells.Nothing", "there is no own_cells.Nothing; name a class or function as package.module.Name"),
        ("nowhere.at.all.X", "there is no nowhere.at.all.X; name"),
        ("own_cells.Half", "own_cells.Half cannot be built: it does not define layer"),
        ("pathlib.Path", "model.cell._target_: pathlib.Path does not build the expected type: Cell"),
    ],
)
def test_what_is_wrong_with_a_part_is_said(own: Path, use: Use, target: str, said: str) -> None:
    chosen = ["~model/cell", f"+model.cell._target_={target}", "model=zaremba", "data=synthetic", *TINY]
    done = use("train", *chosen, f"hydra.run.dir={own}/wrong")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert said in done.err


SMALL = ["data=synthetic", "data.tokens=4000", *TINY, "trainer.limit_train_batches=2"]


@pytest.mark.parametrize(
    ("chosen", "said", "where"),
    [
        (["+model.cell._target_=own_cells.Breaks"], "ValueError: not today", "own_cells.py, line"),
        (["+callbacks.mine._target_=own_others.Fails"], "KeyError: 'no such key'", "own_others.py, line 7"),
        (["+callbacks.mine._target_=own_others.ReadsNothing"], "FileNotFoundError", "own_others.py, line 11"),
        (["+logger.mine._target_=own_others.FailingLogger"], "RuntimeError: no disk", "own_others.py, line"),
        (
            [
                "+callbacks.mine._target_=pytorch_lightning.callbacks.EarlyStopping",
                "+callbacks.mine.monitor=nothing",
            ],
            "RuntimeError: Early stopping",
            "It comes from pytorch_lightning.callbacks.EarlyStopping",
        ),
        (
            ["+model.cell._target_=own_cells.Wrong"],
            "Error: ",
            "in recurrent-lm, or caused by own_cells.Wrong, which is no part of it",
        ),
        (
            ["+callbacks.mine._target_=own_others.CallsUsWrongly"],
            "KeyError",
            "in recurrent-lm, or caused by own_others.CallsUsWrongly",
        ),
    ],
)
def test_an_error_in_other_code_is_not_called_a_bug_of_the_project(
    own: Path, use: Use, chosen: list[str], said: str, where: str, tmp_path: Path
) -> None:
    done = use("train", "~model/cell", "model=zaremba", *chosen, *SMALL, f"hydra.run.dir={tmp_path}")
    assert done.code == 1
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
    assert where in last
    assert "bug in recurrent-lm" not in last


def test_code_beside_the_project_in_its_folder_is_the_users_own() -> None:
    def by_hand(raising: Callable[[], Any]) -> str | None:
        try:
            raising()
        except Exception as error:
            return foreign_place(error)
        return None

    here = Path(__file__).resolve()
    assert by_hand(lambda: 1 / 0) == f"{here}, line {by_hand.__code__.co_firstlineno + 8}"
    assert str(by_hand(lambda: json.loads("{"))).startswith(f"{here}, line")  # raised in a library that it called
    assert by_hand(lambda: load("/nowhere/at all")) is None  # by this project


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "LacksPackage",
            "error: a_module_that_is_not_there is not installed: pip install a_module_that_is_not_there",
        ),
        (
            "LacksModule",
            "error: torch has no module torch.a_module_that_is_not_there; another version of torch may have it",
        ),
    ],
)
def test_a_package_that_is_missing_is_named(own: Path, use: Use, name: str, sentence: str, tmp_path: Path) -> None:
    done = use("train", f"+callbacks.mine._target_=own_others.{name}", *SMALL, f"hydra.run.dir={tmp_path}")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert done.err.strip().splitlines()[-1] == sentence


def test_only_what_a_sweep_itself_ran_is_trusted() -> None:
    plain = configure("train")
    cell = {"_target_": "a.B", "inner": {"_target_": "a.C"}}
    sweep = SweepTable()
    sweep.on_job_start(plain)
    assert not sweep.trusted
    sweep.on_job_start(OmegaConf.create({"hydra": {"launcher": {"_target_": "x.Y"}}, "model": {"cell": cell}}))
    assert list(sweep.trusted) == ["a.B", "a.C"]
    assert foreign({"model": {"_target_": "lm.sampling.Sampler"}}) == ["lm.sampling.Sampler"]  # of another group
    with pytest.raises(UserError, match=r"its model\.cell\.inner asks to run a\.C"):
        refuse_foreign({"cell": cell}, "model", ["a.B"])
    refuse_foreign({"cell": cell}, "model", ["a.B"], typed={"cell": {"inner": {"_target_": "a.C"}}})
