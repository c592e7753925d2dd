"""Whole runs: the files they write, and the effect of each mode of training."""

from __future__ import annotations

import copy
import errno
import io
import json
import math
import pkgutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY, Run, resume
from hypothesis import example, given
from hypothesis import strategies as st
from pytorch_lightning.loggers import TensorBoardLogger
from test_resume import Crash

from lm.config.build import build
from lm.data.corpus import Corpus
from lm.data.sources.markov_chain import synthetic
from lm.data.tokenisers import EOS, UNK, Characters
from lm.data.vocabulary import Vocab
from lm.evaluation import Score, Static, evaluate
from lm.runs.checkpoint import find
from lm.runs.trained import load
from lm.system.errors import UserError
from lm.system.terminal import aligned
from lm.training.callbacks.tensorboard import EmbeddingProjector, flatten, visible
from lm.training.trainer import INTERVALS, log_interval

SHORT = [*TINY, "trainer.limit_train_batches=4"]


@pytest.fixture
def on_text(train: Callable[..., Run], text_file: Path) -> Callable[..., Run]:
    def start(*overrides: str, name: str = "run") -> Run:
        return train("data=text", f"data.train={text_file}", *SHORT, *overrides, name=name)

    return start


def split_score(run: Run, split: str) -> Score:
    trained = load(run.dir)
    corpus: Corpus = build(trained.config["data"], "data")
    return evaluate(Static(100), trained.model, corpus.ids[split], corpus.vocab.unk)[0]


def test_a_run_leaves_a_result_with_every_promised_figure(on_text: Callable[..., Run]) -> None:
    run = on_text("trainer.max_epochs=2", "seed=3")
    result = run.result
    assert result["status"] == "completed"
    assert result["error"] is None
    assert result["seed"] == 3
    assert result["config"]["model"]["hidden_size"] == 24
    assert result["resumed_at"] == []
    assert result["best"]["epoch"] in (1, 2)
    assert Path(result["best"]["checkpoint"]).is_file()
    assert result["seconds"] > 0
    assert result["tokens_per_second"] > 0
    assert len(result["samples"]) == 1
    for split in ("valid", "test"):
        figures = result[split]
        assert figures["perplexity"] == pytest.approx(math.exp(figures["nats"] / figures["tokens"]))


def test_a_reloaded_checkpoint_gives_the_reported_figures(on_text: Callable[..., Run]) -> None:
    run = on_text("trainer.max_epochs=2")
    for split in ("valid", "test"):
        score = split_score(run, split)
        assert score.tokens == run.result[split]["tokens"]
        assert score.nats == pytest.approx(run.result[split]["nats"], rel=1e-6)


def test_validation_depends_on_neither_batch_nor_window(on_text: Callable[..., Run]) -> None:
    settings = [("4", "6", "512"), ("2", "5", "17")]
    first, second = (
        on_text("optim.lr=1e-30", f"data.batch_size={b}", f"data.window={w}", f"data.eval_window={e}", name=w)
        for b, w, e in settings
    )
    assert first.result["test"]["tokens"] == second.result["test"]["tokens"]
    assert first.result["test"]["nats"] == pytest.approx(second.result["test"]["nats"], rel=1e-6)


def test_curves_count_windows_from_zero(on_text: Callable[..., Run]) -> None:
    run = on_text("trainer.max_epochs=2", "trainer.log_every_n_steps=3")
    assert list(run.curve("train/loss")) == [0, 3, 6]
    loss, perplexity = run.curve("train/loss"), run.curve("train/perplexity")
    assert [math.exp(loss[k]) for k in loss] == pytest.approx(list(perplexity.values()), rel=1e-5)
    assert list(run.curve("valid/perplexity")) == [4, 8]
    assert run.curve("test/perplexity")[8] == pytest.approx(run.result["test"]["perplexity"], rel=1e-5)
    assert list(run.curve("train/tokens_per_second")) == [0, 3, 6]


@pytest.mark.parametrize(
    ("windows", "interval"),
    [(1, 1), (49, 1), (50, 1), (98, 1), (99, 2), (100, 2), (245, 2), (246, 5), (490, 5), (491, 10), (1549, 20),
     (2450, 20), (2451, 50), (4900, 50), (4901, 100), (1549 * 5, 100), (10**6, 100)],
)  # fmt: skip
def test_training_curves_have_fifty_points_or_all(windows: int, interval: int) -> None:
    assert log_interval(windows) == interval
    assert len(range(0, windows, interval)) >= min(50, windows)
    assert all(len(range(0, windows, larger)) < 50 for larger in INTERVALS if larger > interval)


def test_the_log_interval_follows_the_length_of_the_run_also_when_it_resumes(
    on_text: Callable[..., Run], tmp_path: Path
) -> None:
    settings = ["trainer.limit_train_batches=60", "trainer.log_every_n_steps=null"]
    whole = on_text(*settings, "trainer.max_epochs=2", name="whole")
    assert list(whole.curve()) == list(range(0, 120, 2))
    crash = "+callbacks.crash={_target_: test_resume.CrashAt, window: 65}"
    with pytest.raises(Crash):
        on_text(*settings, "trainer.max_epochs=2", crash, name="broken")
    broken = resume(tmp_path / "broken", "checkpoint=last", "+callbacks.crash=null")
    assert broken.curve() == whole.curve()
    part = on_text(*settings, "trainer.max_epochs=1", name="part")
    assert list(part.curve()) == list(range(60))
    fork = tmp_path / "fork"
    fork.mkdir()
    resumed = resume(fork, f"checkpoint={part.dir}", "trainer.max_epochs=2")
    assert list(resumed.curve()) == list(range(60, 120, 2))
    assert {step: loss for step, loss in whole.curve().items() if step >= 60} == resumed.curve()
    typed = on_text(*settings, "trainer.log_every_n_steps=7", name="typed")
    assert list(typed.curve()) == list(range(0, 60, 7))


def test_a_seed_repeats_a_run_and_zero_is_a_seed(on_text: Callable[..., Run]) -> None:
    first, again, other = (on_text(f"seed={seed}", name=name) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first.curve() == again.curve()
    assert first.result["samples"] == again.result["samples"]
    assert first.curve() != other.curve()


@pytest.mark.parametrize("update", ["window", "token"])
@pytest.mark.parametrize("forcing", ["teacher", "free_running"])
def test_the_four_combinations_train_and_count_windows(forcing: str, update: str, on_text: Callable[..., Run]) -> None:
    run = on_text(f"forcing={forcing}", f"forcing.update={update}", "optim.lr=0.01", "trainer.limit_train_batches=60")
    losses = run.curve()
    assert list(losses) == list(range(60))
    assert sum(list(losses.values())[-5:]) / 5 < losses[0] - 0.1
    steps = torch.load(run.dir / "checkpoints/last.ckpt")["global_step"]
    assert steps == 60 * (6 if update == "token" else 1)


def test_argmax_feedback_starts_from_the_truth_and_then_hears_the_model(on_text: Callable[..., Run]) -> None:
    one, two = (on_text(f"forcing={f}", "data.window=1", name=f) for f in ("teacher", "free_running"))
    assert list(one.curve().values()) == pytest.approx(list(two.curve().values()), abs=1e-5)
    one, two = (on_text(f"forcing={f}", "data.window=8", name=f + "8") for f in ("teacher", "free_running"))
    assert list(one.curve().values()) != pytest.approx(list(two.curve().values()), abs=1e-5)


def test_tbptt_updates_once_for_k_windows_and_for_what_is_left(on_text: Callable[..., Run]) -> None:
    run = on_text("tbptt.windows=3", "trainer.limit_train_batches=7")
    assert list(run.curve()) == list(range(7))
    assert torch.load(run.dir / "checkpoints/last.ckpt")["global_step"] == 3


def test_the_best_checkpoint_is_the_one_that_is_tested(on_text: Callable[..., Run]) -> None:
    # A rate that ruins the model: the first epoch stays the best.
    run = on_text("optim=sgd", "optim/schedule=epoch_decay", "optim.schedule.after=1", "optim.lr=30", "optim.clip=0",
                  "optim.schedule.rate=1.0", "trainer.max_epochs=4")  # fmt: skip
    valid = run.curve("valid/perplexity")
    best = min(valid, key=lambda step: valid[step])
    assert run.result["best"]["epoch"] == best // 4
    assert run.result["valid"]["perplexity"] == pytest.approx(valid[best], rel=1e-5)
    assert torch.load(find(run.dir))["epoch"] + 1 == run.result["best"]["epoch"]


def test_a_run_whose_table_cannot_be_printed_is_finished(
    on_text: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    run = on_text()
    assert (run.result["status"], run.result["error"]) == ("completed", None)
    assert f"No space left on device); the result is in {run.dir}" in capsys.readouterr().err


def test_a_failure_is_written_down_and_raised(train: Callable[..., Run], tmp_path: Path, text_file: Path) -> None:
    with pytest.raises(UserError, match=r"data\.window"):
        train("data=text", f"data.train={text_file}", *SHORT, "data.window=0")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "failed"
    assert "data.window must be at least 1" in result["error"]


def test_a_loss_that_is_not_finite_stops_the_run_with_its_cause(
    on_text: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [torch.full((4, 6), value, requires_grad=True) for value in (1.0, math.nan)]
    monkeypatch.setattr("lm.models.heads.softmax.SoftmaxHead.nll", lambda *_: losses.pop(0))
    with pytest.raises(UserError, match=r"window 1 .*lower optim\.lr"):
        on_text(name="later")
    losses = [torch.full((4, 6), math.nan, requires_grad=True)]
    with pytest.raises(UserError, match="before the first update: the initial weights are too large"):
        on_text(name="at once")


def test_checkpoints_are_plain_and_stand_alone(on_text: Callable[..., Run], tmp_path: Path) -> None:
    run = on_text("callbacks.checkpoint.every_n_windows=2")
    names = sorted(path.name for path in (run.dir / "checkpoints").iterdir())
    assert names == ["best.ckpt", "last.ckpt"]
    alone = tmp_path / "elsewhere.ckpt"
    alone.write_bytes((run.dir / "checkpoints/best.ckpt").read_bytes())
    content = torch.load(alone, weights_only=True)
    assert content["config"]["model"]["hidden_size"] == 24
    trained = load(alone)
    assert EOS in trained.vocab
    assert not trained.model.training


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "cut", "foreign"])
def test_what_is_no_checkpoint_is_named(content: bytes | str, on_text: Callable[..., Run], tmp_path: Path) -> None:
    path = tmp_path / "odd.ckpt"
    if content == "cut":
        whole = (on_text().dir / "checkpoints/last.ckpt").read_bytes()
        content = whole[: len(whole) // 2]
    if content == "foreign":
        torch.save({"state_dict": {}}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"odd\.ckpt"):
        load(path)


def test_a_checkpoint_cannot_name_code_to_run(
    on_text: Callable[..., Run], train: Callable[..., Run], tmp_path: Path
) -> None:
    path = on_text().dir / "checkpoints/last.ckpt"
    whole = torch.load(path)
    odd = tmp_path / "odd.ckpt"
    for part in ("model", "sampler", "callbacks", "optim"):
        for target in (
            "os.system",
            "lm.system.files.os.system",
            "lm.training.prepare.make_trainer",
            "lm.config.build.importlib.import_module",
        ):
            assert callable(pkgutil.resolve_name(target)), "a name that does not exist would be refused anyway"
            content = copy.deepcopy(whole)
            content["config"][part] = {"_target_": target, "command": "touch hacked"}
            torch.save(content, odd)
            with pytest.raises(UserError, match=f"its {part} asks to run {target}"):
                train("checkpoint=" + str(odd), name=f"{part}-{target}")
            if part == "model":
                with pytest.raises(UserError, match=f"its {part} asks to run {target}"):
                    load(odd)


def test_a_folder_of_runs_is_told_from_a_run(tmp_path: Path) -> None:
    (tmp_path / "0/checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match=f"several runs; name one of them: checkpoint={tmp_path}/0"):
        find(tmp_path)


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no checkpoint"):
        find(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        find(tmp_path / "nowhere")


WITHOUT = [
    "~callbacks.checkpoint",
    "~callbacks.samples",
    "~callbacks.progress",
    "~callbacks",
    "~logger",
    "free_running=null",
]
WITHOUT += ["trainer.limit_val_batches=0", "trainer.limit_test_batches=0", "trainer.check_val_every_n_epoch=2"]


@pytest.mark.parametrize("without", WITHOUT)
def test_what_stands_beside_training_can_be_left_out(
    without: str, on_text: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = on_text("trainer.max_epochs=3", without)
    said, result = capsys.readouterr().out, run.result
    assert "no training" not in said
    assert result["status"] == "completed"
    assert result["tokens_per_second"] > 0
    assert (result["test"].get("perplexity") is None) == ("limit_test" in without)
    assert (result["valid"].get("perplexity") is None) == ("limit_val" in without)
    assert ("free_running" in result["test"]) == (without not in ("trainer.limit_test_batches=0", "free_running=null"))


def test_a_dry_run_is_the_whole_command_with_next_to_nothing_to_do(
    train: Callable[..., Run], text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["data=text", f"data.train={text_file}", "+experiment=awd_lstm", "accelerator=gpu", "dry=true"]
    run = train(*settings)
    assert "dry run" in capsys.readouterr().err
    config, result = run.result["config"], run.result
    assert (result["status"], result["training"]["windows"]) == ("completed", 2)
    assert (config["model"]["hidden_size"], config["accelerator"]["accelerator"]) == (8, "cpu")
    assert resume(run.dir, *settings, "checkpoint=last").result["training"]["windows"] == 4


def test_no_figure_is_missing_without_a_callback(on_text: Callable[..., Run]) -> None:
    settings = ["optim=sgd", "optim.lr=20", "trainer.max_epochs=3"]
    whole = on_text(*settings, name="whole").result
    bare = on_text(*settings, "~callbacks", name="bare")
    figures = bare.result
    assert not list(bare.dir.glob("checkpoints/*"))
    for key in ("valid", "samples", "vocabulary", "parameters", "training.windows", "training.updates"):
        part, _, inner = key.partition(".")
        assert (figures[part][inner] if inner else figures[part]) == (whole[part][inner] if inner else whole[part]), key
    assert figures["best"] == {"checkpoint": None, "epoch": whole["best"]["epoch"]}
    assert figures["test"].keys() == whole["test"].keys()


def test_the_model_reaches_the_entropy_of_a_known_source_and_not_less(train: Callable[..., Run]) -> None:
    settings = {"words": 20, "tokens": 60_000}
    run = train(
        "data=synthetic",
        *(f"data.{key}={value}" for key, value in settings.items()),
        "data.batch_size=20",
        "data.window=20",
        "model.embedding_size=32",
        "model.hidden_size=64",
        "optim.lr=0.01",
        "accelerator=cpu",
        "trainer.max_epochs=3",
    )
    data = synthetic(20, 20, **settings)
    words = [data.vocab.words[i] for i in data.ids["valid"].tolist()]
    truth = data.source.nats(words)  # type: ignore[attr-defined]
    valid = run.result["valid"]
    assert valid["tokens"] == len(truth)
    reached = valid["nats"] / valid["tokens"]
    # Sampling error of the difference: both score the same words, so a few standard errors are generous.
    error = 3 * truth.std() / math.sqrt(len(truth))
    assert truth.mean() - error < reached < 1.03 * truth.mean()
    assert valid["source"] == pytest.approx(math.exp(truth.mean()))


def test_a_time_limit_is_said_and_ends_a_run_that_is_whole(
    on_text: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ["trainer.limit_train_batches=1.0", "trainer.max_epochs=100000", "trainer.max_time=00:00:00:03"]
    result = on_text(*limits).result
    said = capsys.readouterr().err
    assert "fewer if trainer.max_time ends training first, in 0:00:03" in said
    assert "expected time: 0:00:0" in said
    assert result["status"] == "completed"
    assert result["training"]["seconds"] < 10
    assert result["valid"]["perplexity"] > 1


def test_a_validation_that_is_worse_than_guessing_is_said(
    on_text: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    words = len(load(on_text("optim.lr=0.001", name="good").dir).vocab)
    assert "worse than a uniform guess" not in capsys.readouterr().err
    bad = on_text("optim.lr=1", name="bad").result["valid"]["perplexity"]
    assert bad > words
    assert f"worse than a uniform guess among {words} words" in capsys.readouterr().err


def test_hyperparameters_are_plain_values_by_dotted_names() -> None:
    config = {
        "model": {"_target_": "lm.models.Any", "cell": {"_target_": "lm.LSTM", "sizes": [1, 2]}},
        "seed": 3,
        "none": {},
    }
    assert dict(flatten(config)) == {"model": "Any", "model.cell": "LSTM", "model.cell.sizes": "[1, 2]", "seed": 3}


def test_the_projector_shows_the_weights_that_are_evaluated(on_text: Callable[..., Run]) -> None:
    run = on_text("optim/average=exponential")
    (table,) = run.dir.rglob("embedding/tensors.tsv")
    shown = torch.tensor([[float(value) for value in row.split("\t")] for row in table.read_text().splitlines()])
    torch.testing.assert_close(shown, load(run.dir).model.embedding.weight.detach())


SPACE = "\t\n\v\f\r \xa0\u1680\u2000\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
"""What JavaScript's trim() removes."""
ODD = [*SPACE, "\x00", "\x1c", "\x85", "\u0301", "\u200b", "\u200d", "\ufe0f", "\u2800", "\u3164", "\ue000", "\ud800"]


def labels_of_the_page(metadata: Path) -> list[str]:
    """The labels that TensorBoard's page shows: its server reads text, its page skips lines and looks for a header."""
    lines = [line for line in metadata.read_text(encoding="utf-8").split("\n") if line.strip(SPACE)]
    return lines[1:] if "\t" in lines[0] else lines


@given(st.lists(st.text(st.sampled_from([*ODD, "a", "é", "<"]), max_size=3), unique=True))
@example(["\t", " "])  # the first label would be a header
@example(["\t\t", "a\tb"])
@example([*ODD, ""])
def test_every_vector_of_the_projector_has_its_label(words: list[str]) -> None:
    vocab = Vocab([*words, EOS, UNK], Characters())
    weight = torch.zeros(len(vocab), 2)
    module = SimpleNamespace(windows=3, model=SimpleNamespace(embedding=SimpleNamespace(weight=weight)))
    with tempfile.TemporaryDirectory() as folder:
        logger = TensorBoardLogger(folder, name="", version="")
        EmbeddingProjector(vocab).on_fit_end(SimpleNamespace(loggers=[logger]), module)  # type: ignore[arg-type]
        (metadata,) = Path(folder).rglob("metadata.tsv")
        shown = labels_of_the_page(metadata)
    assert shown == [visible(word) for word in vocab.words]
    assert all(set(label) - set(ODD) for label in shown)


def test_a_label_keeps_what_can_be_seen() -> None:
    shown = {" ": "U+0020", "\xa0": "U+00A0", "\u2028": "U+2028", "\u0301": "U+0301", "a\tb": "aU+0009b", "": "(empty)"}
    shown |= {word: word for word in ("the", "e\u0301", "\u0646\u200c\u0645", "\u2764\ufe0f", "\u4e2d", EOS, UNK)}
    assert {word: visible(word) for word in shown} == shown


def test_a_table_has_text_on_the_left_and_numbers_on_the_right() -> None:
    assert aligned([("", "s", "said"), ("one", "10.0", "a"), ("three", "9.5", "")], "lrl") == [
        "          s  said",
        "one    10.0  a",
        "three   9.5",
    ]
    assert aligned([], "lr") == []


class FailsInTheTest(pl.Callback):
    def on_test_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        raise Crash


def test_what_was_measured_is_kept_when_a_callback_fails_after_training(
    train: Callable[..., Run], tmp_path: Path
) -> None:
    with pytest.raises(Crash):
        train("data=synthetic", *SHORT, "+callbacks.late={_target_: test_run.FailsInTheTest}")
    result = Run(tmp_path / "run").result
    assert result["status"] == "failed"
    assert result["valid"]["perplexity"] > 1
    assert result["training"]["windows"] > 0
    assert result["best"]["checkpoint"]
