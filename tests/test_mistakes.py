"""Each mistake gives one sentence with cause and remedy, exit code 1, and no stack trace."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY, Done, Run, needs_ptb

from lm.cli.help import help_text
from lm.runs.trained import load

ROOT = Path(__file__).parent.parent
Cli = Callable[..., str]
Train = Callable[..., Run]
Monkey = pytest.MonkeyPatch


@pytest.fixture
def cli(call: Callable[..., Done], tmp_path: Path) -> Cli:
    """Run a command that fails; returns the one line on standard error that says why."""

    def run(*arguments: str, root: str = "train", code: int = 1) -> str:
        elsewhere = root != "train" or any("hydra.run.dir" in argument for argument in arguments)
        done = call(root, *arguments, *([] if elsewhere else [f"hydra.run.dir={tmp_path}/r"]))
        assert done.code == code, done
        assert "Traceback" not in done.err
        (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
        return line

    return run


@pytest.fixture
def small(text_file: Path) -> list[str]:
    return ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_train_batches=2"]


def failure(tmp_path: Path) -> str:
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    assert result["status"] == "failed"
    return result["error"]


@pytest.mark.parametrize(
    ("arguments", "name", "remedy"),
    [
        (["model.hiden_size=3"], "hiden_size", "Did you mean hidden_size?"),
        (["trainer.max_epoch=3"], "trainer.max_epoch", "Did you mean max_epochs?"),
        (["callbacks.checkpoint.every_n_window=3"], "every_n_window", "Did you mean every_n_windows?"),
        (["tbptt.window=3"], "tbptt.window", "Did you mean windows?"),
        (["+sampler.topk=3"], "sampler.topk", "Did you mean top_k?"),
        (["sed=3"], "sed", "Did you mean seed?"),
        (["modle=lstm"], "modle", "Did you mean model?"),
        (["+modle=lstm"], "modle", "Did you mean model?"),
        (["+experiment=no_ft"], "experiment=no_ft", "Did you mean no_tf?"),
        (["+sweep=teachr_forcing"], "sweep=teachr_forcing", "Did you mean teacher_forcing?"),
        (["sampler=gredy"], "sampler=gredy", "Did you mean greedy?"),
        (["optim/schedule=cosin"], "optim/schedule=cosin", "Did you mean cosine?"),
        (["quickstart"], "quickstart", "+experiment=quickstart"),
        (["model.hidden_size"], "model.hidden_size", "key=value"),
        (["seed=x"], "seed", "a whole number; got 'x'"),
        (["model.hidden_size=big"], "model.hidden_size", "a whole number; got 'big'"),
        (["model.tied=maybe"], "model.tied", "true or false; got 'maybe'"),
        (["forcing.feedback=argmin"], "forcing.feedback", "one of truth, argmax, sample"),
        (["data=text"], "data.train", "data.train=..."),
        (["data.batch_size=1,2"], "data.batch_size", "-m"),
        (["experiment=no_tf"], "experiment", "+experiment=NAME"),
        (["modle.hidden_size=3"], "modle", "Did you mean model?"),
        (["forcing/decay=linear"], "forcing/decay", "another option of forcing"),
        (["optim.schedule=cosine"], "optim.schedule", "optim/schedule=cosine"),
        (["+experiment=awd_lstm_finetune", "data=pydoc"], "weights_from", "weights_from=PATH"),
        (["optim.betas=[0.9]"], "optim.betas", "a list of 2"),
        (["~seed"], "seed", "--help"),
        (["hydra.run.dir="], "hydra.run.dir", "hydra.run.dir=DIR"),
        (["+trainer.gradient_clip_val=1"], "trainer.gradient_clip_val", "optim.clip"),
        (["accelerator.devices=2"], "accelerator.devices", "must be 1"),
        (["accelerator.devices=auto"], "accelerator.devices", "must be 1"),
        (["accelerator.devices=[1]"], "accelerator.devices", "CUDA_VISIBLE_DEVICES=1"),
        (["+trainer.num_nodes=2"], "trainer.num_nodes", "must be 1"),
        (["trainer.max_epochs=null"], "trainer.max_epochs", "trainer.max_time"),
        (["trainer.check_val_every_n_epoch=0"], "trainer.check_val_every_n_epoch", "at least 1"),
        (["optim.clip=nan", "data=synthetic"], "optim.clip", "finite"),
        (["optim.betas=[0.9,nan]"], "optim.betas", "finite"),
        (["sampler.temperature=nan"], "sampler.temperature", "finite"),
        (["regularisation.activation=nan", "data=synthetic"], "regularisation.activation", "finite"),
        (["data.batch_size=99999999999999999999"], "data.batch_size", "64 bits"),
        (["data=synthetic", "data.source_seed=-1"], "source_seed", "at least 0; got -1"),
        (["data=synthetic", "model.hidden_size=1000000000000000"], "out of memory", "lower"),
        (["optim.betas=[0.9,1.0]", "data=synthetic"], "optim.betas", "each at least 0 and below 1"),
        (["optim/average=stalled", "optim.average.latest=0", "data=synthetic"], "optim.average.latest", "at least 1"),
        (["data=pydoc", "sampler.bad_words=[zebra-word]"], "sampler.bad_words", "zebra-word"),
        (["accelerator.precision=16-mixed", "data=pydoc"], "16-mixed", "32-true"),
        (["trainer.limit_train_batches=1.5", "data=pydoc"], "limit_train_batches", "trainer"),
        (["accelerator.precision=64bit", "data=pydoc"], "64bit", "Allowed"),
        (["accelerator.precision=int8", "data=pydoc"], "int8", "scripts/sample.py"),
        (["+experiment=quickstart", "+experiment=no_tf"], "experiment is given twice", "choose one"),
        (["trainer.max_time=10"], "trainer.max_time", "DD:HH:MM:SS"),
        (["model=null"], "model=null", "one of the group's options"),
        (["optim/average=null"], "optim/average=null", "optim.average=null"),
        (["optim/scheduler=cosine"], "optim/scheduler", "Did you mean optim/schedule?"),
        (["model/hed=softmax"], "model/hed", "Did you mean model/head?"),
        (["trainer.profile=yes please"], "trainer.profile", "true or false"),
    ],
)  # fmt: skip
def test_configuration(cli: Cli, arguments: list[str], name: str, remedy: str) -> None:
    line = cli(*arguments)
    assert name in line
    assert remedy in line


@pytest.mark.parametrize(
    ("arguments", "name", "remedy"),
    [
        (["checkpoint=last"], "checkpoint=last", "hydra.run.dir=DIR"),
        (["checkpoint=conf"], "conf holds no checkpoint", "the folder of a run"),
        (["--modle=3"], "command line", "without dashes"),
    ],
)
def test_what_is_refused_before_a_folder_is_made(arguments: list[str], name: str, remedy: str) -> None:
    """Without the fixture's folder, which would hide that no folder is named."""
    before = sorted((ROOT / "conf").rglob("*"))
    done = subprocess.run([sys.executable, "train.py", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert name in line
    assert remedy in line
    assert sorted((ROOT / "conf").rglob("*")) == before


@pytest.mark.parametrize(
    "setting",
    [
        "model.hidden_size=0", "model.embedding_size=-5", "model.num_layers=0", "data.batch_size=0", "data.window=-1",
        "data.eval_window=0", "data.vocab_size=1", "data.min_count=0", "trainer.max_epochs=0",
        "trainer.log_every_n_steps=0", "tbptt.windows=0", "sampler.max_new_tokens=0", "optim.lr=0", "optim.clip=-1",
        "callbacks.checkpoint.every_n_windows=-1", "free_running.streams=0", "free_running.limit=0",
        "seed=-1", "seed=99999999999",
        "tbptt.reset=2", "regularisation.activation=-1", "optim.eps=-1.0",
        "trainer.limit_train_batches=0",
    ],
)  # fmt: skip
def test_sizes_that_cannot_be(cli: Cli, small: list[str], setting: str, tmp_path: Path) -> None:
    key, value = setting.split("=")
    line = cli(*small, setting)
    assert key in line
    assert f"got {value}" in line
    assert failure(tmp_path) in line


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (None, "name a text file"),
        (b"", "name a file that contains text"),
        (b"PK\x03\x04\x00\x00", "plain UTF-8"),
        (b"na\xefve words\n" * 99, "iconv"),
        (b"one\n" * 500, "different word"),
        (b"a b\n", "too few"),
    ],
)
def test_data_files(cli: Cli, content: bytes | None, remedy: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    if content is not None:
        path.write_bytes(content)
    line = cli("data=text", f"data.train={path}", *TINY)
    assert remedy in line
    assert str(path) in line or remedy == "different word"
    assert failure(tmp_path) in line


def test_a_split_shorter_than_a_window(cli: Cli, small: list[str]) -> None:
    line = cli(*small, "data.window=50000")
    assert "too few for one window of 4 x 50000" in line
    assert "lower data.batch_size or data.window" in line


def test_ptb_that_is_nowhere(cli: Cli, tmp_path: Path, monkeypatch: Monkey) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("pooch.retrieve", no_network)
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    line = cli()
    assert str(tmp_path / "ptb/ptb.train.txt") in line
    assert "LM_DATA_DIR" in line
    assert "data=pydoc" in line


@needs_ptb
def test_ptb_that_is_cut_short(cli: Cli, tmp_path: Path, monkeypatch: Monkey) -> None:
    (tmp_path / "ptb").mkdir()
    for split in ("train", "valid", "test"):
        whole = Path(os.environ["LM_DATA_DIR"], "ptb", f"ptb.{split}.txt").read_bytes()
        (tmp_path / "ptb" / f"ptb.{split}.txt").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path))
    line = cli()
    assert str(tmp_path / "ptb/ptb.train.txt") in line
    assert "sha256" in line
    assert "Delete it" in line


class Hostile:
    def __reduce__(self) -> tuple:
        return (os.system, ("touch /tmp/lm-was-here",))


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "hostile", "foreign"])
@pytest.mark.parametrize("root", ["train", "sample"])
def test_checkpoints(cli: Cli, kind: str, root: str, tmp_path: Path, train: Train, small: list[str]) -> None:
    path = tmp_path / "odd.ckpt"
    if kind == "cut":
        whole = (train(*small).dir / "checkpoints/last.ckpt").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "hostile":
        path.write_bytes(pickle.dumps({"state_dict": Hostile()}))
    elif kind == "foreign":
        torch.save({"state_dict": {}, "epoch": 1}, path)
    else:
        path.write_bytes(b"" if kind == "empty" else b"just some text\n")
    line = cli(f"checkpoint={path}", root=root)
    assert str(path) in line
    assert "name another, or train again" in line
    assert not Path("/tmp/lm-was-here").exists()


@pytest.mark.parametrize("root", ["train", "sample", "evaluate"])
def test_a_checkpoint_with_a_flipped_bit(cli: Cli, root: str, tmp_path: Path, train: Train, small: list[str]) -> None:
    """torch's reader would accept it."""
    path, kept = tmp_path / "odd.ckpt", train(*small).dir / "checkpoints/last.ckpt"
    content = bytearray(kept.read_bytes())
    weights = torch.load(kept)["state_dict"]["model.embedding.weight"].numpy().tobytes()
    content[content.index(weights) + 9] ^= 1
    path.write_bytes(content)
    torch.load(path)
    assert "damaged" in cli(f"checkpoint={path}", root=root)


def test_a_checkpoint_of_a_model_that_diverged(cli: Cli, tmp_path: Path, train: Train, small: list[str]) -> None:
    path, content = tmp_path / "odd.ckpt", torch.load(train(*small).dir / "checkpoints/last.ckpt")
    content["state_dict"]["model.embedding.weight"][0] = torch.nan
    torch.save(content, path)
    for root in ("sample", "evaluate"):
        line = cli(f"checkpoint={path}", root=root)
        assert str(path) in line
        assert "diverged" in line


def test_a_checkpoint_without_the_state_of_its_training(
    cli: Cli, tmp_path: Path, train: Train, small: list[str]
) -> None:
    path, content = tmp_path / "odd.ckpt", torch.load(train(*small).dir / "checkpoints/last.ckpt")
    del content["training"], content["optimizer_states"]
    torch.save(content, path)
    line = cli(f"checkpoint={path}")
    assert "optimizer_states, training" in line
    assert "weights_from=PATH" in line
    load(path)  # the model is complete


@pytest.mark.parametrize(
    ("chosen", "content", "name", "remedy"),
    [
        ("model=mine", "defaults: [lstm]\nhidden_size:3\nnum_layers: 1\n", "model/mine.yaml, line 3", "no valid YAML"),
        ("+experiment=mine", "model: {hidden_size: 3}\n", "experiment/mine.yaml", "# @package _global_"),
    ],
)
def test_configuration_files(cli: Cli, chosen: str, content: str, name: str, remedy: str, tmp_path: Path) -> None:
    folder = tmp_path / chosen.partition("=")[0].lstrip("+")
    folder.mkdir()
    (folder / "mine.yaml").write_text(content)
    line = cli("--config-dir", str(tmp_path), chosen)
    assert name in line
    assert remedy in line


def test_a_script_that_fails_leaves_no_files(cli: Cli, tmp_path: Path) -> None:
    cli("checkpoint=/nowhere", f"out={tmp_path}/new/figures.json", f"per_token={tmp_path}/tokens.tsv", root="evaluate")
    assert not list(tmp_path.iterdir())


def test_a_file_that_must_not_be_written(cli: Cli, tmp_path: Path, monkeypatch: Monkey) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("mine")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != kept)
    line = cli("checkpoint=/nowhere", f"out={kept}", root="evaluate")
    assert line.startswith(f"error: out: cannot write {kept}")


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(
    cli: Cli, tmp_path: Path, monkeypatch: Monkey, train: Train, small: list[str]
) -> None:
    path = train(*small).dir / "checkpoints/last.ckpt"

    as_ever = Path.open

    def refuse(self: Path, *rest: Any, **more: Any) -> Any:
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return as_ever(self, *rest, **more)

    monkeypatch.setattr(Path, "open", refuse)
    line = cli(f"checkpoint={path}", root="evaluate")
    assert f"{path}: Permission denied; check the rights" in line


def test_a_checkpoint_whose_weights_are_of_other_sizes(
    cli: Cli, train: Train, small: list[str], tmp_path: Path
) -> None:
    path = train(*small).dir / "checkpoints/last.ckpt"
    content = torch.load(path)
    content["config"]["model"]["hidden_size"] = 25
    torch.save(content, path)
    for root in ("sample", "train"):
        line = cli(f"checkpoint={path}", root=root)
        assert "do not fit" in line
        assert "last.ckpt" in line


def test_a_prompt_with_unknown_words(cli: Cli, train: Train, small: list[str]) -> None:
    line = cli(f"checkpoint={train(*small).dir}", "prompt=w1 zebra w2", root="sample")
    assert "'zebra'" in line
    assert "<unk>" in line


@pytest.mark.parametrize(("root", "precision"), [("sample", "bf16-mixed"), ("evaluate", "int8")])
def test_a_precision_that_a_script_does_not_know(
    cli: Cli, train: Train, small: list[str], root: str, precision: str
) -> None:
    line = cli(f"checkpoint={train(*small).dir}", f"accelerator.precision={precision}", root=root)
    assert f"accelerator.precision={precision}" in line
    assert "32-true" in line


def test_a_text_file_that_cannot_be_read(cli: Cli, train: Train, small: list[str]) -> None:
    line = cli(f"checkpoint={train(*small).dir}", "text_file=/nowhere/at all", root="evaluate")
    assert "/nowhere/at all" in line
    assert "standard input" in line


def test_a_folder_that_cannot_be_written(cli: Cli, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    line = cli(*small, f"hydra.run.dir={tmp_path}/file/run")
    assert f"{tmp_path}/file" in line
    assert "another folder" in line


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("iostream error\n")])
def test_a_full_disk_keeps_the_earlier_checkpoint(
    cli: Cli,
    train: Train,
    small: list[str],
    tmp_path: Path,
    monkeypatch: Monkey,
    error: Exception,
) -> None:
    run = train(*small, name="r")
    before = (run.dir / "checkpoints/last.ckpt").read_bytes()

    def half_a_file(self: object, path: Path, **_: object) -> None:
        Path(path).write_bytes(before[:100])
        raise error

    monkeypatch.setattr("pytorch_lightning.Trainer.save_checkpoint", half_a_file)
    line = cli(f"checkpoint={run.dir}", "trainer.max_epochs=2")
    assert str(run.dir / "checkpoints") in line
    assert "free some space" in line
    assert (run.dir / "checkpoints/last.ckpt").read_bytes() == before
    assert {path.name for path in (run.dir / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert "free some space" in failure(tmp_path)


def test_a_loss_that_is_not_finite(cli: Cli, small: list[str], monkeypatch: Monkey, tmp_path: Path) -> None:
    monkeypatch.setattr("lm.models.interfaces.Head.nll", lambda *_: torch.full((4, 6), math.nan, requires_grad=True))
    line = cli(*small)
    assert "became nan at window 0" in line
    assert "lower optim.lr" in line
    assert failure(tmp_path) in line


def test_training_that_diverges(cli: Cli, small: list[str]) -> None:
    line = cli(*small, "optim=sgd", "optim.lr=1e30", "optim.clip=0", "trainer.limit_train_batches=1")
    assert "diverged" in line
    assert "lower optim.lr" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
@pytest.mark.parametrize("root", ["train", "sample"])
def test_a_card_that_is_not_there(cli: Cli, train: Train, small: list[str], root: str) -> None:
    arguments = small if root == "train" else [f"checkpoint={train(*small).dir}"]
    line = cli(*arguments, "accelerator=gpu", root=root)
    assert "accelerator=gpu" in line
    assert "accelerator=cpu" in line


@pytest.mark.parametrize("setting", ["tbptt.windows=2", "tbptt.random_length=true", "regularisation.temporal=1"])
def test_what_needs_a_window_over_token_updates(setting: str, cli: Cli, small: list[str]) -> None:
    line = cli(*small, setting, "forcing.update=token")
    assert setting.split(".")[0] in line
    assert "forcing.update=window" in line


def test_a_fault_of_ours_shows_where_it_is(call: Callable[..., Done], tmp_path: Path) -> None:
    def task(cfg: Any) -> None:
        raise ZeroDivisionError("by us")

    done = call("train", f"hydra.run.dir={tmp_path}", task=task)
    assert done.code == 1
    assert "Traceback" in done.err
    assert "a bug in recurrent-lm" in done.err
    assert "by us" in (tmp_path / "train.log").read_text()


@pytest.mark.parametrize("setting", ["init_scale=-0.1", "init_scale=0.0", "embedding_init=-0.1"])
def test_scales_that_cannot_be(cli: Cli, text_file: Path, setting: str) -> None:
    key, value = setting.split("=")
    line = cli("data=text", f"data.train={text_file}", "model=zaremba", "model.init_scale=null", f"model.{setting}")
    assert f"model.{key} must be above 0, or null; got {value}" in line


@pytest.mark.parametrize("root", sorted(path.stem for path in (ROOT / "conf").glob("*.yaml")))
def test_every_command_has_help(root: str) -> None:
    text = help_text(root)
    assert " et al\n" not in text
    assert "  python " in text.partition("Examples:")[2]


def test_help_is_quick_and_tells_everything() -> None:
    done = subprocess.run([sys.executable, "train.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for file in (ROOT / "conf").rglob("*.yaml"):
        if file.parent.name not in ("conf", "evaluator"):
            assert file.stem in done.stdout, file
    assert done.stdout.count("  python train.py") >= 10
    imported = "import sys; sys.argv = ['train.py', '--help']; import runpy\n"
    imported += "try: runpy.run_path('train.py', run_name='__main__')\n"
    imported += "finally: assert not {'torch', 'pytorch_lightning', 'tensorboard'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", imported], cwd=ROOT, capture_output=True, check=True)
