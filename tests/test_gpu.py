"""On a card: every fast path, evaluator, forcing mode, resumption and sampler against fp32 on the processor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY, Run, resume
from test_precision import MODELS, values_and_gradients
from test_resume import MODES, Crash

from lm.data.streams import Windows
from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.evaluation import Cache, Dynamic, Evaluator, FreeRunning, Static, evaluate
from lm.models.interfaces import LanguageModel
from lm.sampling import Sampler, generate
from lm.system.precision import allow_tf32
from lm.training.recorded_windows import RecordedWindows

pytestmark = pytest.mark.gpu
VOCAB = Vocab([EOS, UNK, *map(str, range(198))])
TOLERANCE = 1e-4
"""Relative, between fp32 on a card and on the processor. Of vectors, whose single values may be near zero: of norms."""

EVALUATORS: dict[str, Evaluator] = {
    "static": Static(window=16),
    "temperature": Static(window=16, temperature=0.9),
    "cache": Cache(weight=0.3, theta=0.5, window=20),
    "dynamic": Dynamic(rule="sgd", lr=0.05, window=5),
    "dynamic_rms": Dynamic(lr=1e-3, window=5, streams=4),
    "free_running": FreeRunning(window=5, streams=3),
}


@pytest.fixture(autouse=True)
def exact_on_the_card() -> None:
    allow_tf32(False)


@pytest.fixture
def card() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def accelerator() -> str:
    return "gpu" if torch.cuda.is_available() else "cpu"


def both(name: str, card: torch.device) -> tuple[LanguageModel, LanguageModel]:
    """One model in evaluation mode, on the processor and on the card."""
    models = []
    for device in (torch.device("cpu"), card):
        torch.manual_seed(0)
        model = MODELS[name]().eval()
        model.head.prepare(torch.arange(200, 0, -1))
        models.append(model.to(device))
    return models[0], models[1]


@pytest.mark.parametrize("name", MODELS)
def test_values_and_gradients_are_the_processors(name: str, card: torch.device) -> None:
    words = torch.randint(200, (4, 9), generator=torch.Generator().manual_seed(1))
    found = []
    for model in both(name, card):
        here = words.to(next(model.parameters()).device)
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN's LSTM has gradients in training mode only
            hidden, _ = model(here[:, :-1], model.initial_state(4))
            nats = model.head.nll(hidden, here[:, 1:])
            gradients = torch.autograd.grad(nats.mean(), list(model.parameters()), allow_unused=True)
        found.append((nats.detach().cpu(), [None if part is None else part.cpu() for part in gradients]))
    (one, by_one), (other, by_other) = found
    torch.testing.assert_close(one, other, rtol=TOLERANCE, atol=1e-6)
    for mine, theirs in zip(by_one, by_other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_window_is_its_single_steps(name: str, card: torch.device) -> None:
    _, model = both(name, card)
    words = torch.randint(200, (4, 20), generator=torch.Generator().manual_seed(1)).to(card)
    with torch.no_grad():
        hidden, _ = model(words, model.initial_state(4))
        state = model.initial_state(4)
        for t in range(20):
            one, state = model.step(words[:, t], state)
    assert (one - hidden[:, -1]).norm() <= TOLERANCE * one.norm()


@pytest.mark.parametrize("name", ["lstm", "awd", "adaptive", "gru", "rnn", "slstm", "transformer"])
def test_bf16_is_fp32_but_for_its_rounding(name: str, card: torch.device) -> None:
    if card.type == "cpu":
        pytest.skip("on a processor: tests/test_precision.py")
    values_and_gradients(name, card.type)


@pytest.mark.parametrize("name", EVALUATORS)
@pytest.mark.parametrize("model", ["lstm", "mos"])
def test_every_evaluator_gives_the_processors_figures(model: str, name: str, card: torch.device) -> None:
    ids = np.random.default_rng(0).integers(0, 200, 120)
    corpus = {"train": np.random.default_rng(1).integers(0, 200, 400), "valid": ids}.__getitem__
    one, other = (evaluate(replace(EVALUATORS[name], corpus=corpus), made, ids, unk=0) for made in both(model, card))
    assert one[0].tokens == other[0].tokens
    assert other[0].nats == pytest.approx(one[0].nats, rel=TOLERANCE)
    torch.testing.assert_close(one[1].nats, other[1].nats, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "sampler",
    [
        Sampler(do_sample=False, max_new_tokens=20),
        Sampler(max_new_tokens=20, num_return_sequences=3),
        Sampler(top_k=5, max_new_tokens=20),
        Sampler(top_p=0.8, repetition_penalty=1.3, bad_words=["3"], max_new_tokens=20),
    ],
    ids=["greedy", "random", "top_k", "nucleus"],
)
def test_a_seed_gives_the_processors_words(sampler: Sampler, card: torch.device) -> None:
    one, other = (
        generate(model, sampler, VOCAB, [3, 4], torch.Generator().manual_seed(5)) for model in both("lstm", card)
    )
    assert one.tolist() == other.tolist()


def test_windows_on_the_card_are_those_of_the_text(card: torch.device) -> None:
    ids = np.random.default_rng(0).integers(0, 60_000, 500).astype(np.uint16)
    plain, moved = Windows(ids, 3, 7), Windows(ids, 3, 7)
    moved.put_on(card)
    for one, other in zip(plain, moved, strict=True):
        assert other.inputs.device.type == card.type
        assert torch.equal(one.inputs, other.inputs.cpu())
        assert torch.equal(one.targets, other.targets.cpu())
        assert np.array_equal(one.reset, other.reset)


SMALL = [*TINY, "trainer.limit_train_batches=12", "trainer.limit_val_batches=2", "trainer.limit_test_batches=2"]
WAYS = {
    **MODES,
    # At the rate of MODES the loss grows, and by what a rounding decides.
    "average": ["optim=ntasgd", "optim.average.patience=0", "optim.lr=20", "tbptt.random_length=true"],
    "sampled_head": ["model/head=sampled"],
    "mogrifier": ["model=mogrifier", "model.cell.rank=4"],
}
DRAWN = ("masks", "sampled_head", "mogrifier", "no_tf", "gru", "slstm", "min_gru", "transformer")
"""Ways in which a rounding or the card's own random numbers change what is read: only that it trains is compared."""


@pytest.mark.parametrize("way", WAYS)
def test_training_is_the_processors(way: str, accelerator: str, train: Callable[..., Run], text_file: Path) -> None:
    settings = ["data=text", f"data.train={text_file}", *SMALL, *WAYS[way]]
    if way == "mogrifier":
        settings += ["model.last_size=24", "model.embedding_size=24"]
    here = train(*settings, name="here")
    there = train(*settings, f"accelerator={accelerator}", "accelerator.precision=32-true", name="there")
    assert there.result["status"] == "completed"
    one, other = here.curve(), there.curve()
    if way in DRAWN:
        assert other.keys() == one.keys()
        assert list(other.values())[-1] < next(iter(other.values())) + 0.5
    else:
        assert list(other.values()) == pytest.approx(list(one.values()), rel=1e-3)
        assert there.result["valid"]["perplexity"] == pytest.approx(here.result["valid"]["perplexity"], rel=1e-3)


@pytest.mark.parametrize("way", ["teacher", "tbptt", "average"])
def test_a_resumed_run_is_the_uninterrupted_one_up_to_rounding(
    way: str, accelerator: str, train: Callable[..., Run], text_file: Path
) -> None:
    on = [f"accelerator={accelerator}", "accelerator.precision=32-true"]
    settings = ["data=text", f"data.train={text_file}", *SMALL, *WAYS[way], *on, "trainer.max_epochs=2"]
    settings += ["callbacks.checkpoint.every_n_windows=5"]
    whole = train(*settings, name="whole")
    with pytest.raises(Crash):
        train(*settings, "+callbacks.crash={_target_: test_resume.CrashAt, window: 17}", name="broken")
    folder = whole.dir.parent / "broken"
    resumed = resume(folder, "checkpoint=last", "+callbacks.crash=null", *on)
    assert resumed.result["resumed_at"]
    one, other = whole.curve(), resumed.curve()
    assert other.keys() == one.keys()
    assert list(other.values()) == pytest.approx(list(one.values()), rel=1e-3)


class Apart(pl.Callback):
    """Windows are not recorded."""

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        module._recorded = None


@pytest.mark.parametrize("way", ["teacher", "masks", "tied", "bf16", "documents"])
def test_a_recorded_window_is_the_same_window(
    way: str, card: torch.device, train: Callable[..., Run], text_file: Path, tmp_path: Path
) -> None:
    """With dropout too, whose numbers are those of the run without recording; a shape that comes again is replayed."""
    if card.type == "cpu":
        pytest.skip("windows are recorded on a GPU")
    changes = {
        "tied": ["model.tied=true", "model.embedding_size=24"],
        "bf16": ["accelerator.precision=bf16-mixed"],
        "documents": ["data.documents=true", "tbptt.random_length=true", f"data.train={tmp_path}/*.txt"],
    }
    lines = text_file.read_text().splitlines(keepends=True)
    for first in range(0, len(lines), 10):
        (tmp_path / f"{first}.txt").write_text("".join(lines[first : first + 10]))
    settings = ["data=text", f"data.train={text_file}", *SMALL, "accelerator=gpu", "accelerator.precision=32-true"]
    settings += ["model.dropout=0.3"] if way != "masks" else []
    settings += changes.get(way, MODES.get(way, []))
    one = train(*settings, "+callbacks.apart={_target_: test_gpu.Apart}", name="apart").curve()
    with patch.object(RecordedWindows, "_record", autospec=True, side_effect=RecordedWindows._record) as recorded:
        other = train(*settings, name="recorded").curve()
    assert recorded.call_count >= 1
    assert list(other.values()) == pytest.approx(list(one.values()), rel=1e-3 if way == "bf16" else 1e-4)


class NoWaiting(pl.Callback):
    """Torch raises where the program would wait for the card, from the third window to the tenth."""

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        if module.windows == 3:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if module.windows == 10:
            torch.cuda.set_sync_debug_mode("default")


def test_between_two_points_of_the_curves_nothing_waits_for_the_card(
    card: torch.device, train: Callable[..., Run], text_file: Path
) -> None:
    if card.type == "cpu":
        pytest.skip("a processor does not wait")
    settings = ["data=text", f"data.train={text_file}", *SMALL, "accelerator=gpu", "trainer.log_every_n_steps=100"]
    try:
        run = train(*settings, "+callbacks.waiting={_target_: test_gpu.NoWaiting}")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert run.result["training"]["windows"] == 12
