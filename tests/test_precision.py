"""Which precision is chosen, and the errors of bf16: on any processor, if necessary with torch's own slow kernels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TINY, Run, native_bf16, needs_ptb, stacked, threads
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lm.data.streams import Window
from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.evaluation import Static, evaluate
from lm.models.cells import GRU, LSTM, QRNN, RNN, SLSTM, Cell, MinGRU, MinLSTM, Mogrifier, RecurrentLayer
from lm.models.heads.adaptive import Adaptive
from lm.models.heads.mixture_of_softmaxes import Mixture
from lm.models.heads.sampled_softmax import Sampled
from lm.models.heads.softmax import SoftmaxHead
from lm.models.interfaces import Head, LanguageModel, State
from lm.models.kernels import linear
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.models.transformer_language_model import TransformerLanguageModel
from lm.runs.checkpoint import find, read
from lm.sampling.generate import generate
from lm.sampling.sampler import Sampler
from lm.system.errors import UserError
from lm.system.precision import allow_tf32, best_precision, training_precision
from lm.training.forcing.forcing import Forcing
from lm.training.module import LanguageModule
from lm.training.optim.optimisers import Adam

AUTO = "accelerator.precision=auto"


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """bf16 on any machine: oneDNN's kernels if the processor has the instructions, else torch's own."""
    monkeypatch.setenv("LM_BF16", "present")
    with torch.backends.mkldnn.flags(enabled=native_bf16()):
        yield


def test_precision_is_chosen_by_the_machine_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LM_BF16", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert best_precision("cpu") == "bf16-mixed"
    chosen, line = training_precision("cpu", "auto", "window")
    assert chosen == "bf16-mixed"
    assert "32-true" in line
    assert training_precision("cpu", "auto", "token")[0] == "32-true"
    assert training_precision("cpu", "32-true", "window") == ("32-true", "precision: 32-true")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    chosen, line = training_precision("cpu", "auto", "window")
    assert chosen == "32-true"
    assert "no bf16 instructions" in line
    with pytest.raises(UserError, match="no bf16 instructions"):
        training_precision("cpu", "bf16-mixed", "window")


@pytest.mark.parametrize(("short", "long"), [(32, "32-true"), ("32", "32-true"), (64, "64-true")])
def test_short_names_of_precisions_are_the_long_ones(short: str | int, long: str) -> None:
    """On a card, fp32 by another name would be TF32."""
    assert training_precision("cuda", short, "window")[0] == long


def test_figures_are_taken_in_fp32_wherever_they_are_asked_for() -> None:
    seen = []

    class Watched(RecurrentLanguageModel):
        def read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
            seen.append((torch.is_autocast_enabled("cpu"), torch.backends.cudnn.allow_tf32))
            return super().read(tokens, state)

    model, vocab = Watched(20, 8, 8), Vocab([EOS, UNK, *map(str, range(18))])
    allow_tf32(True)
    with torch.autocast("cpu", torch.bfloat16):
        evaluate(Static(), model, range(20), unk=0)
        generate(model, Sampler(max_new_tokens=1), vocab, [2, 3])
        assert torch.is_autocast_enabled("cpu")
    assert torch.backends.cudnn.allow_tf32
    assert seen == [(False, False)] * 2


def test_gradients_are_taken_outside_mixed_precision(
    bf16: None, train: Callable[..., Run], text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside autocast, fp32 parts would have bf16 gradients."""
    seen, plain = [], Tensor.backward

    def backward(loss: Tensor, *arguments: Any, **settings: Any) -> None:
        seen.append(torch.is_autocast_enabled("cpu"))
        plain(loss, *arguments, **settings)

    monkeypatch.setattr(Tensor, "backward", backward)
    run = train("data=text", f"data.train={text_file}", *TINY, AUTO, "trainer.limit_train_batches=3")
    assert run.result["precision"] == "bf16-mixed"
    assert set(seen) == {False}


def test_weights_in_bf16_can_be_dropped() -> None:
    model = stacked(20, 8, 8, num_layers=2, cell=LSTM(weight_dropout=0.5)).to(torch.bfloat16)
    words = torch.randint(20, (3, 4))
    model.begin_window()
    hidden, state = model(words, model.initial_state(3))
    again, _ = model.step(words[:, 0], state)
    assert {hidden.dtype, again.dtype} == {torch.bfloat16}


def test_in_bf16_each_update_is_seen_by_the_next_token() -> None:
    """Autocast caches a cast copy of each weight; a window of token updates must not use the old copy."""
    torch.manual_seed(0)
    module = LanguageModule(RecurrentLanguageModel(20, 8, 8), Forcing(update="token"), Adam(lr=0.05), 1, 1, unk=0)
    seen: list[float] = []
    optimizer = module.optim.optimizer(module.model.parameters())

    def update(loss: torch.Tensor) -> None:
        seen.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    module._update = update  # type: ignore[method-assign]
    words = torch.full((2, 8), 3)
    module.state = module.model.initial_state(2)
    with torch.autocast("cpu", torch.bfloat16):
        module._token_updates(Window(words, words, np.zeros((2, 8), dtype=bool)))
    assert seen[-1] < 0.5 * seen[0]  # with stale weights only the state would lower the loss


def test_the_default_precision_is_written_down(train: Callable[..., Run], text_file: Path) -> None:
    run = train("data=text", f"data.train={text_file}", *TINY, AUTO, "trainer.limit_train_batches=1")
    assert run.result["config"]["accelerator"]["precision"] == "auto"
    assert run.result["precision"] == best_precision("cpu")


@torch.no_grad()
def settled(model: Any) -> LanguageModel:
    """The model, with its candidates away from 0: there their derivative jumps, and rounding may cross over."""
    for layer in model.layers:
        layer.bias[-layer.hidden_size :] += 2
    return model


MODELS: dict[str, Callable[[], LanguageModel]] = {
    "lstm": lambda: RecurrentLanguageModel(200, 24, 24, num_layers=2, tied=True),
    "adaptive": lambda: RecurrentLanguageModel(200, 24, 32, head=Adaptive(cutoffs=[40, 100])),
    "sampled": lambda: stacked(200, 24, 32, head=Sampled(frequent=40, sampled=60)),
    "mos": lambda: stacked(200, 24, 32, head=Mixture(3)),
    "awd": lambda: stacked(200, 24, 32, cell=LSTM(weight_dropout=0.5), output_dropout=0.3),
    "mogrifier": lambda: stacked(200, 24, 32, cell=Mogrifier(rank=6)),
    "gru": lambda: stacked(200, 24, 32, cell=GRU(weight_dropout=0.3, state_dropout=0.3)),
    "rnn": lambda: stacked(200, 24, 32, cell=RNN()),
    "qrnn": lambda: stacked(200, 24, 32, cell=QRNN()),
    "min_gru": lambda: settled(stacked(200, 24, 32, cell=MinGRU())),
    "min_lstm": lambda: settled(stacked(200, 24, 32, cell=MinLSTM())),
    "slstm": lambda: stacked(200, 24, 32, cell=SLSTM()),
    "transformer": lambda: TransformerLanguageModel(200, 24, 32, num_layers=2, dropout=0.0, context=5),
}


def values_and_gradients(name: str, device: str) -> None:
    """Compare a model's nats and gradients in fp32 and under bf16 autocast: 8 bits of mantissa, a rounding is 0.4%."""
    found = []
    for enabled in (False, True):
        torch.manual_seed(0)
        model = MODELS[name]()
        model.head.prepare(torch.arange(200, 0, -1))
        model, words = model.to(device), torch.randint(200, (4, 9)).to(device)
        model.begin_window()
        torch.manual_seed(1)
        with torch.autocast(device, torch.bfloat16, enabled=enabled):
            hidden, _ = model(words[:, :-1], model.initial_state(4))
            nats = model.head.nll(hidden, words[:, 1:])
        gradients = torch.autograd.grad(nats.mean(), list(model.parameters()))
        found.append((nats.detach(), gradients))
    (exact, by_exact), (rounded, by_rounded) = found
    assert rounded.dtype == torch.float32  # nats are summed exactly
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, rtol=0.01, atol=0)
    for (weight, _), one, other in zip(model.named_parameters(), by_exact, by_rounded, strict=True):
        assert other.dtype == torch.float32, weight
        assert (one - other).norm() <= 0.03 * one.norm(), weight


@pytest.mark.parametrize("name", MODELS)
def test_in_bf16_values_and_gradients_are_those_of_fp32_but_for_its_rounding(name: str, bf16: None) -> None:
    values_and_gradients(name, "cpu")


@pytest.mark.parametrize("name", MODELS)
def test_in_bf16_steps_are_those_of_the_window(name: str, bf16: None) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    words, state, outputs = torch.randint(200, (4, 9)), model.initial_state(4), []
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        whole, last = model(words, model.initial_state(4))
        for word in words.unbind(1):
            out, state = model.step(word, state)
            outputs.append(out)
    steps = torch.stack(outputs, dim=1).float()
    assert (steps - whole.float()).norm() <= 0.01 * whole.float().norm()
    for one, other in zip(state, last, strict=True):
        for part, same in zip(one, other, strict=True):
            assert (part.float() - same.float()).norm() <= 0.01 * same.float().norm()


@pytest.mark.slow
def test_training_in_bf16_is_as_good_as_in_fp32(bf16: None, train: Callable[..., Run], text_file: Path) -> None:
    settings = ["data=text", f"data.train={text_file}", *TINY, "optim.lr=0.01", "trainer.max_epochs=2"]
    exact = train(*settings, "accelerator.precision=32-true", name="exact")
    rounded = train(*settings, AUTO, name="rounded")
    assert rounded.result["precision"] == "bf16-mixed"
    assert rounded.result["training"]["windows"] >= 500
    assert rounded.curve() != exact.curve()
    assert rounded.result["valid"]["perplexity"] == pytest.approx(exact.result["valid"]["perplexity"], rel=0.01)
    saved: dict[str, Tensor] = read(find(rounded.dir))["state_dict"]
    assert {weight.dtype for weight in saved.values()} == {torch.float32}


class RoundingFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.bfloat16().float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].bfloat16().float()


class Rounded(TorchFunctionMode):
    """fp32 rounded to bf16 at all inputs and outputs of products and LSTMs, weights and gradients included.

    Autocast rounds at these places; an LSTM's sums and memory it may keep more exactly than this does.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name not in ("linear", "lstm") or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        return self.linear(*args, **kwargs) if name == "linear" else self.lstm(*args)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return rounded(F.linear(rounded(x), rounded(weight), rounded(bias)))

    def lstm(self, x: Tensor, state: tuple[Tensor, Tensor], weights: list[Tensor], *_: Any) -> tuple[Tensor, ...]:
        h, c = (rounded(part.squeeze(0)) for part in state)
        into, recurrent, *biases = (rounded(weight) for weight in weights)
        outputs = []
        for step in rounded(rounded(x) @ into.t() + sum(biases)).unbind(1):
            i, f, g, o = rounded(step + h @ recurrent.t()).chunk(4, -1)
            c = rounded(f.sigmoid() * c + i.sigmoid() * g.tanh())
            h = rounded(o.sigmoid() * c.tanh())
            outputs.append(h)
        return torch.stack(outputs, 1), h.unsqueeze(0), c.unsqueeze(0)


rounded = RoundingFunction.apply


@contextmanager
def rounding_by_hand() -> Iterator[None]:
    """Rounds by hand what autocast rounds, with every product of the model made by torch's own functions."""
    with (
        patch.object(linear, "_linear_pointwise", None),
        patch.object(SoftmaxHead, "nll", Head.nll),
        Rounded(),
    ):
        yield


def test_rounding_by_hand_costs_what_bf16_costs(bf16: None) -> None:
    words, distances = torch.randint(200, (4, 9)), []
    torch.manual_seed(0)
    model = RecurrentLanguageModel(200, 24, 64)

    def gradients() -> Tensor:
        hidden, _ = model(words[:, :-1], model.initial_state(4))
        loss = model.head.nll(hidden, words[:, 1:]).mean()
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])

    exact = gradients()
    for mode in (torch.autocast("cpu", torch.bfloat16), rounding_by_hand()):
        with mode:
            distances.append(float((gradients() - exact).norm() / exact.norm()))
    real, by_hand = distances
    assert 0.8 * real < by_hand < 2 * real


@pytest.fixture
def all_cores() -> Iterator[None]:
    with threads(os.cpu_count() or 1):
        yield


@pytest.mark.slow
@needs_ptb
def test_500_windows_of_the_penn_treebank_in_bf16_end_within_1_percent_of_fp32(
    train: Callable[..., Run], all_cores: None, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["trainer.max_epochs=1", "trainer.limit_train_batches=500", "free_running=null", "accelerator=cpu"]
    exact = train(*settings, "accelerator.precision=32-true", name="exact")
    native = native_bf16()
    with nullcontext() if native else rounding_by_hand():
        found = train(*settings, name="rounded")
    assert found.result["training"]["windows"] == 500
    assert found.curve() != exact.curve()
    one, other = (run.result["valid"]["perplexity"] for run in (exact, found))
    with capsys.disabled():
        print(f"\nvalidation perplexity: fp32 {one:.3f}, bf16 {'' if native else 'by rounding '}{other:.3f}")
    assert other == pytest.approx(one, rel=0.01)


class StepByStep(Forcing):
    """Reads true words one by one: both precisions then read the same."""

    def next_input(self, logits: Tensor, truth: Tensor, truth_share: float) -> Tensor:
        return truth


class Own(Cell):
    """A cell as users write it: `step` alone, with torch's own layers."""

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return OwnLayer(input_size, hidden_size)


class OwnLayer(RecurrentLayer):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size, self.inner = hidden_size, nn.Linear(input_size + hidden_size, hidden_size)

    def step(self, x: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h = self.inner(torch.cat([x, memory[0]], dim=-1)).tanh()
        return h, (h,)


BY_WINDOWS = ("mogrifier", "gru", "slstm", "qrnn", "own")
MODELS_OF_MANY_STEPS = {**MODELS, "own": lambda: stacked(200, 24, 32, cell=Own())}


@pytest.mark.parametrize("steps", [35, 70, 140])
@pytest.mark.parametrize("name", ["lstm", "awd", *BY_WINDOWS])
def test_in_bf16_gradients_of_many_steps_do_not_add_up_rounded(name: str, steps: int, bf16: None) -> None:
    """A weight used at each step: its gradients are added up in fp32, however many steps there are."""
    found = []
    words = torch.randint(200, (4, steps + 1), generator=torch.Generator().manual_seed(1))
    for enabled in (False, True):
        torch.manual_seed(0)
        model = MODELS_OF_MANY_STEPS[name]().eval()
        module = LanguageModule(
            model, StepByStep(feedback="argmax"), Adam(lr=0.001), updates_per_epoch=9, epochs=1, unk=0
        )
        module.state = model.initial_state(4)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            if name in BY_WINDOWS:
                hidden, _ = model(words[:, :-1], module.state)
                loss = model.head.nll(hidden, words[:, 1:]).mean()
            else:
                window = Window(words[:, :-1], words[:, 1:], np.zeros((4, words.shape[1] - 1), dtype=bool))
                loss = torch.stack([one for one, *_ in module._free_running(window)]).mean()
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.layers.parameters()))]))
    exact, rounded = found
    assert (exact - rounded).norm() <= 0.01 * exact.norm()
