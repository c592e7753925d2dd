"""Fixtures: an isolated cache, small corpora, and runs in this process."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hypothesis import settings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lm.cli.command import command
from lm.config.compose import composed, register

# One thread per process: tests run in parallel, and tiny models are faster with it. Child processes inherit it.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bf16",
        choices=("absent", "present"),
        help="what the processor says of its bf16 instructions (default: what it does say); present without them runs "
        "on torch's own slow kernels",
    )
    parser.addoption(
        "--dry", action="store_true", help="run the tests marked gpu on the processor: to see that they run"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--dry") or torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a card; --dry runs it on the processor"))


def pytest_configure(config: pytest.Config) -> None:
    if folder := os.environ.get("LM_DATA_DIR"):
        os.environ["LM_DATA_DIR"] = str(Path(folder).resolve())  # also for commands in other folders
    if answer := config.getoption("--bf16"):
        os.environ["LM_BF16"] = answer  # child processes of the tests inherit it


def native_bf16() -> bool:
    """Whether the processor has the instructions, independent of --bf16."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """A context in which torch uses so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


settings.register_profile("here", deadline=None)  # two cores, shared with other work
settings.load_profile("here")

PTB = Path(os.environ.get("LM_DATA_DIR") or os.devnull) / "ptb"
needs_ptb = pytest.mark.skipif(
    not (PTB / "ptb.train.txt").is_file(), reason="needs the Penn Treebank: set LM_DATA_DIR to the folder above ptb/"
)
TINY = [
    "model.embedding_size=16",
    "model.hidden_size=24",
    "data.batch_size=4",
    "data.window=6",
    "accelerator=cpu",
    "accelerator.precision=32-true",  # figures are compared; for other precisions see tests/test_precision.py
    "trainer.max_epochs=1",
    "trainer.log_every_n_steps=1",
]


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Encoded text is cached in a folder of the tests, kept for one session."""
    os.environ["LM_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process leave no curves.png, which takes 0.15 s each; the mark `pictures` turns them on."""
    if request.node.get_closest_marker("pictures") is None:
        monkeypatch.setattr("lm.commands.train.draw_run", lambda folder: None)


def stacked(vocab_size: int, embedding_size: int = 400, hidden_size: int = 1150, **settings: Any) -> Any:
    """A model of AWD-LSTM's settings, but for its dropout."""
    from lm.models.recurrent_language_model import RecurrentLanguageModel

    awd = {"num_layers": 3, "tied": True, "dropout_per": "window", "embedding_init": 0.1}
    return RecurrentLanguageModel(vocab_size, embedding_size, hidden_size, **{**awd, **settings})


@dataclass
class Run:
    """A finished run from outside: its folder, result.json and TensorBoard curves."""

    dir: Path

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.dir / "result.json").read_text())

    def curve(self, tag: str = "train/loss") -> dict[int, float]:
        """Step -> value; fails if a step occurs twice."""
        events = EventAccumulator(str(self.dir), size_guidance={"scalars": 0}).Reload().Scalars(tag)
        steps = [event.step for event in events]
        assert len(steps) == len(set(steps)), f"{tag} has an event twice"
        return {event.step: event.value for event in events}


def configure(root: str, *overrides: str) -> Any:
    register()
    return composed(root, overrides)


class Done(NamedTuple):
    """The result of a finished command."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command as the shell would, but in this process, whose imports are done."""

    def run(name: str, *arguments: str, task: Callable[[Any], Any] | None = None) -> Done:
        script = "train.py" if name == "train" else f"scripts/{name}.py"
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        GlobalHydra.instance().clear()
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            command(name, task or getattr(importlib.import_module(f"lm.commands.{name}"), name))
        HydraConfig.instance().cfg = None  # otherwise a later test would take these settings for its own
        return Done(int(stopped.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Run]:
    """Run train.py's function on the given overrides, in a fresh folder."""
    from lm.commands.train import train

    def start(*overrides: str, name: str = "run") -> Run:
        folder = tmp_path / name
        folder.mkdir()
        train(configure("train", *overrides), folder)
        return Run(folder)

    return start


def run_on(folder: Path, text: str, windows: int) -> Run:
    """A tiny run of so many windows on a text, in a folder that is there; for fixtures of a module."""
    from lm.commands.train import train

    (folder / "text").write_text(text)
    short = [f"trainer.limit_train_batches={windows}", "trainer.max_epochs=1", "free_running=null", "accelerator=cpu"]
    train(configure("train", "data=text", f"data.train={folder}/text", *TINY, *short), folder)
    return Run(folder)


def resume(folder: Path, *overrides: str) -> Run:
    """Run train.py's function in a folder that is there already."""
    from lm.commands.train import train

    train(configure("train", *overrides), folder)
    return Run(folder)


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 12,000 words of a Markov chain over 40 words, as a plain text file."""
    from lm.data.sources.markov_chain import MarkovSource

    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(MarkovSource(words=40, tokens=12_000).pieces("train")))
    return path
