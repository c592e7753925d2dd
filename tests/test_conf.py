"""Every file in conf/ composes, fits the code it names, and every experiment runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY, Run, configure
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lm.config.build import build
from lm.config.conf_folder import CONF
from lm.config.schemas import Accelerator, without_profile
from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.runs.checkpoint import Description
from lm.sampling.sampler import Sampler
from lm.system.signals import StopRequest

ROOTS = sorted(path.stem for path in CONF.glob("*.yaml"))
OPTIONS = sorted(str(path.relative_to(CONF).with_suffix("")) for path in CONF.rglob("*.yaml") if path.parent != CONF)
EXPERIMENTS = [option.removeprefix("experiment/") for option in OPTIONS if option.startswith("experiment/")]
VOCAB = Vocab([EOS, UNK, "a"])


def test_every_group_has_an_option_and_every_root_a_file() -> None:
    assert set(ROOTS) == {
        "train",
        "sample",
        "evaluate",
        "distance",
        "benchmark",
        "compare",
        "tbptt",
        "describe",
        "score",
        "export",
        "plot",
    }
    assert {option.split("/")[0] for option in OPTIONS} >= {"data", "model", "forcing", "sampler", "accelerator"}


@pytest.mark.parametrize("root", ROOTS)
def test_every_root_composes(root: str) -> None:
    assert len(configure(root)) >= 2


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_fits_the_code_it_names(option: str, tmp_path: Path, text_file: Path) -> None:
    group, _, name = option.rpartition("/")
    if group.partition("/")[0] in ("experiment", "sweep"):
        configure("train", f"+{group}={name}")
        return
    root = "evaluate" if group == "evaluator" else "train"
    overrides = [f"data.train={text_file}"] if option == "data/text" else []
    overrides += {"forcing/decay": ["forcing=scheduled"], "model/cell": ["model=awd_lstm"]}.get(group, [])
    config = configure(root, *overrides, f"{group}={name}")
    if option == "data/tokeniser/file":
        config.data.tokeniser.path = "tokenizer.json"
    node = OmegaConf.to_container(OmegaConf.select(config, group.replace("/", ".")), resolve=True)
    available = {"vocab_size": 3, "vocab": VOCAB, "config": {}, "seed": 0, "sampler": Sampler()}
    available |= {
        "run_dir": str(tmp_path),
        "save_dir": str(tmp_path),
        "stop": StopRequest(),
        "first_start": True,
        "description": Description(VOCAB, config={}, tokens={}, provenance={}),
        "swept": [],
    }
    if option == "data/ptb":
        return  # needs its files: tests/test_data.py
    if group == "accelerator":
        assert set(node) == set(vars(Accelerator(**node)))
    elif group in ("callbacks", "logger"):
        assert all(build(child, f"{group}.{key}", available) for key, child in node.items())
    else:
        assert build(without_profile(node) if group == "trainer" else node, group, available) is not None


def swept(values: str) -> list[str]:
    """The values that a sweep tries; of an interval its two ends."""
    inside = re.fullmatch(r"(?:tag\(log, *)?(?:choice|interval)\(([^()]*)\)+", values)
    return (inside[1] if inside else values).split(",")


@pytest.mark.parametrize("sweep", [path.stem for path in (CONF / "sweep").glob("*.yaml")])
def test_every_value_of_a_sweep_composes(sweep: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = compose("train", [f"+sweep={sweep}"], return_hydra_config=True).hydra
    assert found.mode.name == "MULTIRUN"
    for key, values in found.sweeper.params.items():
        for value in swept(str(values)):
            configure("train", f"{key}={value}")


def test_the_baseline_is_the_default() -> None:
    assert configure("train", "+experiment=baseline") == configure("train")


def test_the_default_is_the_classic_exercise() -> None:
    config = configure("train")
    assert (config.data.batch_size, config.data.window, config.trainer.max_epochs) == (20, 30, 5)
    assert (config.optim.lr, config.optim.clip, config.optim.weight_decay) == (0.002, 0.5, 0)
    assert (config.model.embedding_size, config.model.hidden_size, config.model.num_layers) == (128, 1024, 1)
    assert (config.forcing.feedback, config.forcing["update"], config.tbptt.windows) == ("truth", "window", 1)
    no_tf = configure("train", "+experiment=no_tf")
    assert (no_tf.forcing.feedback, no_tf.forcing["update"]) == ("argmax", "token")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs(experiment: str, train: Callable[..., Run], text_file: Path) -> None:
    sizes = [setting for setting in TINY if not setting.startswith("model.")]
    short = [
        "data=text", f"data.train={text_file}", *sizes, "model.embedding_size=16", "model.hidden_size=16",
        "trainer.limit_train_batches=3", "trainer.limit_val_batches=2", "trainer.limit_test_batches=2",
    ]  # fmt: skip
    base, more = experiment.removesuffix("_finetune"), []
    if base != experiment:
        more = [f"weights_from={train(f'+experiment={base}', *short, name=base).dir}"]
    run = train(f"+experiment={experiment}", *short, *more)
    assert run.result["status"] == "completed"
    assert list(run.curve()) == [0, 1, 2]


def test_what_a_cell_lacks_of_an_experiment_can_be_left_out() -> None:
    config = configure("train", "+experiment=cpu_hour", "model/cell=gru", "~model.cell.forget_bias")
    model = build(OmegaConf.to_container(config.model, resolve=True), "model", {"vocab_size": 30_000})
    assert type(model.layers[0]).__name__ == "GRULayer"


def test_the_recurrences_are_compared_at_an_equal_number_of_weights() -> None:
    for sweep, weights in {"recurrences": 5_000_000, "recurrences_short": 1_000_000}.items():
        for path in sorted((CONF / "sweep/recurrence").glob("*.yaml")):
            config = configure("train", f"+sweep={sweep}", f"+sweep/recurrence={path.stem}")
            node = OmegaConf.to_container(config.model, resolve=True)
            with torch.device("meta"):
                found = build(node, "model", {"vocab_size": 10_000}).parameter_count
            assert 0.95 * weights < found <= weights, path.stem
