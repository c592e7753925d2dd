"""A run's curves: what TensorBoard shows first, the table and picture in its folder, figures of several runs."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY, Done, Run, resume
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lm.studies.run_curves import points_of
from lm.training.optim.gradient_clipping import Clipping

SHORT = [*TINY, "data=synthetic", "free_running=null", "callbacks.projector=null", "trainer.limit_train_batches=6"]
SHORT += ["trainer.limit_val_batches=3", "trainer.limit_test_batches=3"]


def rows(run: Run) -> list[dict[str, str]]:
    with (run.dir / "curves.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_the_points_of_the_event_files(train: Callable[..., Run]) -> None:
    run = train(*SHORT, "trainer.max_epochs=2")
    loss, valid = (points_of(run.dir, "windows", tag) for tag in ("train/loss", "valid/perplexity"))
    assert dict(loss) == pytest.approx(run.curve("train/loss"), rel=1e-6)
    assert dict(valid) == pytest.approx(run.curve("valid/perplexity"), rel=1e-6)
    assert [row["tokens"] for row in rows(run)][:2] == ["0", "24"]
    last = rows(run)[-1]
    assert (last["windows"], last["tokens"], last["updates"]) == ("12", "288", "12")
    assert float(last["seconds"]) == pytest.approx(run.result["training"]["seconds"])


def test_the_first_card_has_training_and_validation(train: Callable[..., Run]) -> None:
    run = train(*SHORT)
    tags = EventAccumulator(str(run.dir)).Reload().Tags()["scalars"]
    for line in ("train", "valid"):
        beside = EventAccumulator(str(run.dir / f"perplexity_{line}")).Reload()
        assert beside.Tags()["scalars"] == ["perplexity"]
        points = {event.step: event.value for event in beside.Scalars("perplexity")}
        assert points == run.curve(f"{line}/perplexity")
    groups = sorted({tag.split("/")[0] for tag in [*tags, "perplexity"]})
    assert groups == ["perplexity", "test", "train", "valid", "x_by_tokens", "x_by_updates", "x_once"]
    assert [tag for tag in tags if tag.startswith("test/")] == ["test/perplexity"]
    assert {"train/gradient_norm", "train/clipped_share"} <= set(tags)


def test_a_resumed_run_has_every_point_once(train: Callable[..., Run]) -> None:
    whole = train(*SHORT, "trainer.max_epochs=2", name="whole")
    run = train(*SHORT, name="parts")
    content = torch.load(run.dir / "checkpoints/last.ckpt", weights_only=True)
    assert content["events"]["curves.csv"] == (run.dir / "curves.csv").stat().st_size
    with (run.dir / "curves.csv").open("a") as file:
        file.write("7,168,7,0.5,9.9,9.9,0.1,1,1,1,,\n")  # as if it had been killed after another window
    run = resume(run.dir, *SHORT, "trainer.max_epochs=2", "checkpoint=last")
    for tag in ("train/loss", "valid/perplexity", "train/gradient_norm"):
        assert points_of(run.dir, "windows", tag) == points_of(whole.dir, "windows", tag)
    for line in ("train", "valid"):
        events = EventAccumulator(str(run.dir / f"perplexity_{line}")).Reload().Scalars("perplexity")
        assert [event.step for event in events] == sorted({event.step for event in events})


def test_runs_without_loggers_have_their_table(train: Callable[..., Run]) -> None:
    run = train(*SHORT, "~logger")
    assert len(rows(run)) == 7
    assert not list(run.dir.glob("events.*"))


def test_norms_and_clipped_updates() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    clipping = Clipping(1.0)
    assert clipping.figures() == {}
    for gradient in ([3.0, 4.0], [0.3, 0.4]):
        weight.grad = torch.tensor(gradient)
        clipping.clip([weight])
    assert clipping.figures() == pytest.approx({"train/gradient_norm": 0.5, "train/clipped_share": 0.5})
    assert clipping.figures() == {}
    unclipped = Clipping(0.0)
    unclipped.clip([weight])
    assert unclipped.figures() == {}


@pytest.mark.pictures
def test_a_run_leaves_a_picture(train: Callable[..., Run]) -> None:
    assert (train(*SHORT).dir / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def runs(train: Callable[..., Run]) -> list[Path]:
    given = [("seed=1", "optim.lr=0.01"), ("seed=2", "optim.lr=0.01"), ("seed=1", "optim.lr=0.02")]
    return [train(*SHORT, "trainer.max_epochs=2", *one, name=str(k)).dir for k, one in enumerate(given)]


@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
def test_a_figure_of_runs(ending: str, runs: list[Path], call: Callable[..., Done], tmp_path: Path) -> None:
    out = tmp_path / f"figure.{ending}"
    done = call("plot", f"runs=[{','.join(map(str, runs))}]", "x=tokens", f"out={out}", "width=3.3", "height=2")
    assert done.code == 0, done.err
    assert done.out.strip() == str(out)
    content = out.read_bytes()
    assert content.startswith({"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}[ending])
    if ending == "svg":
        assert b'width="237.6pt" height="144pt"' in content


def test_a_figure_has_a_line_for_each_setting_and_a_band_over_seeds(runs: list[Path]) -> None:
    from lm.studies.comparison.groups import grouped
    from lm.studies.comparison.reading import read_runs
    from lm.studies.figure_of_runs import draw

    drawn = draw(grouped(read_runs([str(run) for run in runs])[0]), "windows", "valid/perplexity", (5, 3), 0.95)
    (axes,) = drawn.axes
    assert len(axes.get_lines()) == 2
    first = axes.get_lines()[0]
    curves = [points_of(run, "windows", "valid/perplexity") for run in runs[:2]]
    assert first.get_xdata().tolist() == [6, 12]
    assert first.get_ydata().tolist() == pytest.approx([(a[1] + b[1]) / 2 for a, b in zip(*curves, strict=True)])
    assert "(2 seeds)" in axes.get_legend().get_texts()[0].get_text()
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() < min(first.get_ydata()) < max(first.get_ydata()) < band[:, 1].max()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["y=valid/loss", "x=epochs"], "x=epochs: choose one of windows, tokens, updates, seconds"),
        (["y=valid"], "y=valid: choose one of train/loss"),
        (["out=figure.jpg"], "must end in one of .pdf, .svg, .png"),
        (["width=0"], "width must be above 0"),
    ],
)
def test_mistakes(
    arguments: list[str], said: str, train: Callable[..., Run], call: Callable[..., Done], tmp_path: Path
) -> None:
    run = train(*SHORT)
    out = [] if any(argument.startswith("out=") for argument in arguments) else [f"out={tmp_path / 'f.pdf'}"]
    done = call("plot", f"runs=[{run.dir}]", *out, *arguments)
    assert done.code == 1
    assert said in done.err
    assert done.err.count("\n") == 1
    (run.dir / "curves.csv").unlink()
    done = call("plot", f"runs=[{run.dir}]", f"out={tmp_path / 'f.pdf'}")
    assert "none of them has the curve valid/perplexity" in done.err
