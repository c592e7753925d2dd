"""Every fast path against the plain path with the same interface: values and gradients."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY, Run, threads
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.models.cells.gated import GatedLayer
from lm.models.cells.gru import GRU, GRULayer
from lm.models.cells.lstm import LSTM, LSTMLayer, choose_recurrence
from lm.models.cells.rnn import RNN, RNNLayer
from lm.models.heads.adaptive import Adaptive
from lm.models.heads.mixture_of_softmaxes import Mixture
from lm.models.heads.softmax import Softmax
from lm.models.interfaces import HeadFactory
from lm.models.kernels import cross_entropy
from lm.models.kernels.cross_entropy import linear_cross_entropy
from lm.models.kernels.int8 import int8_weights
from lm.models.kernels.linear import FEW_ROWS, FEWEST_CALLS, linear, packed, product
from lm.models.kernels.repeated import Repeated
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.sampling.generate import generate
from lm.sampling.sampler import Sampler
from lm.system import memory
from lm.system.errors import UserError
from lm.system.memory import keep_freed_memory
from lm.training.callbacks.profile import PRODUCTS, Row, own_times, report
from lm.training.optim.gradient_clipping import clip_gradients

sizes = st.integers(1, 40)


@pytest.mark.parametrize("count", [1, 2])  # without AVX512 their backward passes differ
@given(rows=st.integers(1, FEW_ROWS + 2), inputs=sizes, outputs=sizes, bias=st.booleans(), seed=st.integers(0, 99))
def test_a_linear_map_of_any_size_is_torchs(
    count: int, rows: int, inputs: int, outputs: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    x, weight = torch.randn(rows, inputs, requires_grad=True), torch.randn(outputs, inputs, requires_grad=True)
    parts = [x, weight, torch.randn(outputs, requires_grad=True)] if bias else [x, weight]
    toward = torch.randn(rows, outputs)
    with threads(count):
        ours, plain = linear(*parts), F.linear(*parts)
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
        gradients = [torch.autograd.grad((product * toward).sum(), parts) for product in (ours, plain)]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.double])
@given(rows=st.integers(1, FEW_ROWS + 2), inputs=sizes, outputs=sizes, turned=st.booleans())
def test_a_packed_map_is_torchs(dtype: torch.dtype, rows: int, inputs: int, outputs: int, turned: bool) -> None:
    torch.manual_seed(0)
    weight = torch.randn(inputs, outputs).t() if turned else torch.randn(outputs, inputs)
    x, weight = torch.randn(rows, inputs).to(dtype), weight.to(dtype)
    with torch.no_grad():
        found = packed(weight, rows, FEWEST_CALLS)(x)
    assert found.dtype == dtype
    close = {"rtol": 0.01, "atol": 0.05} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(found, F.linear(x, weight), **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.double])  # only float32 is packed
@given(
    steps=st.sampled_from([1, 2, 5, FEWEST_CALLS]),
    rows=sizes,
    inputs=sizes,
    outputs=sizes,
    bias=st.booleans(),
    learns=st.booleans(),
)
def test_a_map_repeated_over_a_window_is_the_map_at_each_step(
    dtype: torch.dtype, steps: int, rows: int, inputs: int, outputs: int, bias: bool, learns: bool
) -> None:
    torch.manual_seed(steps)
    first = torch.randn(rows, inputs, requires_grad=True, dtype=dtype)
    parts = [
        torch.randn(outputs, inputs, requires_grad=learns, dtype=dtype),
        torch.randn(outputs, requires_grad=True, dtype=dtype),
    ]
    back = torch.randn(inputs, outputs, dtype=dtype)  # so that each step reads the output of the previous step
    found = []
    weights = (parts[0], parts[1] if bias else None)
    for into in (Repeated(*weights, steps, rows), lambda given: F.linear(given, *weights)):
        x = first
        for _ in range(steps):
            x = F.linear(into(x).tanh(), back) / (inputs + outputs)
        learning = [part for part in (first, *parts[: 2 if bias else 1]) if part.requires_grad]
        found.append([x, *torch.autograd.grad(x.sum(), learning)])
    close = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float32 else {}
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, **close)


def losses(way: Callable[..., Tensor], given: list[Tensor], words: Tensor) -> list[Tensor]:
    """Losses of a linear layer, and the gradients of their weighted sum with respect to hidden, weight and bias."""
    nats = way(*given, words)
    toward = torch.linspace(-1, 2, len(words), dtype=nats.dtype)
    return [nats.detach(), *torch.autograd.grad((nats * toward).sum(), given)]


def plain_losses(hidden: Tensor, weight: Tensor, bias: Tensor, words: Tensor) -> Tensor:
    logits = F.linear(hidden, weight, bias)
    return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), words, reduction="none")


@given(rows=sizes, units=sizes, words=sizes, block=st.integers(1, 200), seed=st.integers(0, 99))
def test_losses_of_a_linear_layer_are_torchs(rows: int, units: int, words: int, block: int, seed: int) -> None:
    torch.manual_seed(seed)
    shapes = [(rows, units), (words, units), (words,)]
    given = [torch.randn(*shape, dtype=torch.double, requires_grad=True) for shape in shapes]
    targets = torch.randint(words, (rows,))
    with patch.object(cross_entropy, "BLOCK", block):
        found = losses(linear_cross_entropy, given, targets)
    for ours, plain in zip(found, losses(plain_losses, given, targets), strict=True):
        torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("confident", [False, True])
def test_losses_of_a_linear_layer_in_bf16_are_no_less_exact_than_torchs(confident: bool) -> None:
    """If a model is nearly certain, the gradient p - 1 is small: it may only be rounded after the subtraction."""
    torch.manual_seed(0)
    scale = 3 if confident else 1
    given = [(torch.randn(shape) * scale**0.5).requires_grad_() for shape in ((64, 32), (50, 32), (50,))]
    targets = F.linear(*given).argmax(-1) if confident else torch.randint(50, (64,))
    exact = losses(plain_losses, given, targets)
    with torch.autocast("cpu", torch.bfloat16):
        both = zip(losses(linear_cross_entropy, given, targets), losses(plain_losses, given, targets), strict=True)
    for (ours, plain), true in zip(both, exact, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - true).norm() <= 1.1 * (plain - true).norm()
        assert confident or (ours - true).norm() <= 0.01 * true.norm()


def test_the_mean_of_many_losses_in_bf16_has_a_gradient_that_is_not_shifted() -> None:
    """1 / 600 in bf16 is 0.2% too small. Where a word's probability is its frequency, only such an error is left."""
    frequency = torch.tensor([0.5, 0.25, 0.25])  # which bf16 has exactly
    weight, bias = torch.zeros(3, 4), frequency.log().requires_grad_()
    words = torch.arange(3).repeat_interleave(torch.tensor([300, 150, 150]))
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(torch.zeros(600, 4), weight, bias, words).mean()
    (gradient,) = torch.autograd.grad(loss, [bias])
    assert gradient.abs().max() <= 1e-5


def test_losses_of_weights_in_bf16_are_computed_in_fp32() -> None:
    torch.manual_seed(0)
    given = [torch.randn(shape).bfloat16().requires_grad_() for shape in ((64, 32), (50, 32), (50,))]
    words = torch.randint(50, (64,))
    nats, *gradients = losses(linear_cross_entropy, given, words)
    assert nats.dtype == torch.float32
    exact, *true = losses(plain_losses, [part.detach().float().requires_grad_() for part in given], words)
    torch.testing.assert_close(nats, exact, rtol=0.01, atol=0.05)  # the logits are in bf16
    for mine, theirs in zip(gradients, true, strict=True):
        assert mine.dtype == torch.bfloat16
        assert (mine.float() - theirs).norm() <= 0.02 * theirs.norm()


def test_nothing_to_read_is_no_error() -> None:
    weight, bias = torch.randn(5, 4, requires_grad=True), torch.randn(5)
    assert linear(torch.zeros(0, 4), weight).shape == (0, 5)
    assert linear(torch.zeros(2, 0, 4), weight).shape == (2, 0, 5)
    assert product(torch.zeros(0, 4), weight.detach()).shape == (0, 5)
    assert linear_cross_entropy(torch.zeros(0, 4), weight, bias, torch.zeros(0, dtype=torch.long)).shape == (0,)


def test_a_weight_that_changes_before_the_backward_pass_is_an_error() -> None:
    weight = torch.randn(5, 4, requires_grad=True)
    into, x = Repeated(weight, None, steps=2, rows=3), torch.randn(3, 4, requires_grad=True)
    total = into(x).sum() + into(x).sum()
    with torch.no_grad():
        weight += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


@pytest.mark.parametrize("wide", [False, True])
def test_on_either_kind_of_processor_a_map_is_torchs(wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm.models.kernels.linear.AVX512", wide)
    for rows in (1, FEW_ROWS, FEW_ROWS + 1):
        x, weight = torch.randn(rows, 7, requires_grad=True), torch.randn(5, 7, requires_grad=True)
        found = [
            [out, *torch.autograd.grad(out.square().sum(), [x, weight])]
            for out in (linear(x, weight), F.linear(x, weight))
        ]
        for mine, theirs in zip(*found, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_without_onednn_products_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_linear_pointwise", "_reorder"):
        monkeypatch.setattr(f"lm.models.kernels.linear.{name}", None)
    monkeypatch.setattr("lm.models.kernels.linear._packable", lambda dtype: pytest.fail("oneDNN is not there to ask"))
    x, weight = torch.randn(3, 7), torch.randn(5, 7)
    for found in (linear(x, weight), product(x, weight), packed(weight, 3, FEWEST_CALLS)(x)):
        torch.testing.assert_close(found, F.linear(x, weight))


def test_only_what_needs_a_gradient_gets_one_from_the_losses() -> None:
    hidden, weight, bias = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4), torch.randn(5, requires_grad=True)
    linear_cross_entropy(hidden, weight, bias, torch.tensor([0, 4, 2])).sum().backward()
    assert [part.grad is None for part in (hidden, weight, bias)] == [False, True, False]


def test_a_linear_map_keeps_other_types_and_takes_any_layout() -> None:
    weight = torch.randn(5, 4, dtype=torch.double)
    assert linear(torch.randn(2, 4, dtype=torch.double), weight).dtype == torch.double
    x, weight = torch.randn(4, 3).t(), torch.randn(4, 6).t()
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))
    batch = torch.randn(2, 3, 4)
    torch.testing.assert_close(linear(batch, weight), F.linear(batch, weight))


@pytest.mark.parametrize(
    ("layer", "cell"),
    [
        (lambda: LSTMLayer(6, 5, LSTM()), nn.LSTMCell),
        (lambda: GRULayer(6, 5, GRU()), nn.GRUCell),
        (lambda: RNNLayer(6, 5, RNN()), nn.RNNCell),
        (lambda: RNNLayer(6, 5, RNN(nonlinearity="relu")), lambda *sizes: nn.RNNCell(*sizes, nonlinearity="relu")),
    ],
)
def test_a_step_is_that_of_torchs_cell(layer: Callable[[], GatedLayer], cell: Callable[..., nn.Module]) -> None:
    ours, plain = layer(), cell(6, 5)
    plain.load_state_dict(ours.state_dict())
    x, memory = torch.randn(3, 6), tuple(torch.randn(3, 5) for _ in ours.first(3))
    out, mine = ours.step(x, memory)
    theirs = plain(x, memory if len(memory) > 1 else memory[0])
    torch.testing.assert_close(out, mine[0])
    torch.testing.assert_close(mine, theirs if len(memory) > 1 else (theirs,))
    sums = [torch.stack([*mine]).sum(), theirs[0].sum() + theirs[1].sum() if len(memory) > 1 else theirs.sum()]
    grads = [torch.autograd.grad(one, [*part.parameters()]) for one, part in zip(sums, (ours, plain), strict=True)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


@given(scale=st.floats(1e-3, 1e3), largest=st.floats(0.01, 10), seed=st.integers(0, 99))
def test_clipping_is_torchs(scale: float, largest: float, seed: int) -> None:
    torch.manual_seed(seed)
    ours = [nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    for parameter in ours[:2]:  # one has no gradient
        parameter.grad = scale * torch.randn_like(parameter)
    plain = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    for mine, theirs in zip(ours[:2], plain[:2], strict=True):
        theirs.grad = None if mine.grad is None else mine.grad.clone()
    clip_gradients(ours, largest)
    nn.utils.clip_grad_norm_(plain, largest)
    for mine, theirs in zip(ours[:2], plain[:2], strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("head", [Softmax(), Mixture(3), Adaptive(cutoffs=[40, 100])])
@pytest.mark.parametrize("tied", [False, True])
def test_weights_of_8_bits_give_nearly_the_same_distribution(tied: bool, head: HeadFactory) -> None:
    if tied and isinstance(head, Adaptive):
        pytest.skip("an adaptive softmax has no matrix to share")
    torch.manual_seed(0)
    model = RecurrentLanguageModel(200, 32, 32, num_layers=2, tied=tied, head=head).eval()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    words, state = torch.randint(200, (8, 6)), model.initial_state(8)

    def nats() -> list[torch.Tensor]:
        memory, found = state, []
        for t in range(words.shape[1]):
            hidden, memory = model.step(words[:, t], memory)
            found.append(model.head.logits(hidden).log_softmax(-1))
        return found

    with torch.no_grad():
        exact = nats()
        with int8_weights(model):
            rounded = nats()
        again = nats()
    for mine, theirs, after in zip(rounded, exact, again, strict=True):
        divergence = (theirs.exp() * (theirs - mine)).sum(-1)  # nats
        assert 0 < divergence.max() < 1e-3
        assert torch.equal(theirs, after)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_8_bits_leave_the_model_as_it_was_after_an_error() -> None:
    model = RecurrentLanguageModel(20, 8, 8)
    with contextlib.suppress(KeyboardInterrupt), int8_weights(model):
        assert hasattr(model.head.linear.weight, "packed_int8")
        raise KeyboardInterrupt
    assert not any(hasattr(parameter, "packed_int8") for parameter in model.parameters())


def test_where_gradients_are_taken_8_bits_are_left_out() -> None:
    model = RecurrentLanguageModel(20, 8, 8)
    words = torch.randint(20, (3,))
    found = []
    for context in (contextlib.nullcontext(), int8_weights(model)):
        with context:
            hidden, _ = model.step(words, model.initial_state(3))
            found.append(torch.autograd.grad(model.head.nll(hidden, words).sum(), list(model.parameters())))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*found, strict=True))


def test_8_bits_within_8_bits_end_with_the_outer_ones() -> None:
    model = RecurrentLanguageModel(20, 8, 8)
    weight: Any = model.head.output.weight  # type: ignore[union-attr]
    with int8_weights(model):
        outer = weight.packed_int8
        with int8_weights(model):
            assert weight.packed_int8 is not outer
        assert weight.packed_int8 is outer
        assert not hasattr(model.embedding.weight, "packed_int8")  # used for lookup, not in products


def test_8_bits_of_no_numbers_are_refused() -> None:
    model = RecurrentLanguageModel(20, 8, 8)
    model.head.linear.weight.data[3, 2] = torch.nan  # type: ignore[union-attr]
    with pytest.raises(UserError, match="diverged"), int8_weights(model):
        pass


def test_8_bits_where_torch_has_chosen_no_library_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in torch's builds for Apple's processors."""

    class Engines:
        engine = "none"
        supported_engines = ("qnnpack", "none")

    used = torch.backends.quantized.engine
    monkeypatch.setattr(torch.backends, "quantized", Engines)
    model = RecurrentLanguageModel(20, 8, 8)
    with int8_weights(model):
        assert Engines.engine == "qnnpack"
    assert Engines.engine == "none"
    Engines.supported_engines = ("none",)
    with pytest.raises(UserError, match="32-true"), int8_weights(model):
        pass
    monkeypatch.undo()
    assert torch.backends.quantized.engine == used


def test_a_gradient_of_a_gradient_is_refused_not_wrong() -> None:
    x, weight = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(linear(x, weight).pow(2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_confident_model_says_the_same_in_8_bits() -> None:
    """A model trained on a cycle of words generates the cycle greedily, with rounded weights too."""
    torch.manual_seed(0)
    model, vocab = RecurrentLanguageModel(12, 16, 16), Vocab([EOS, UNK, *map(str, range(10))])
    optimizer, circle = torch.optim.Adam(model.parameters(), 0.02), torch.arange(60).remainder(12).unsqueeze(0)
    for _ in range(80):
        hidden, _ = model(circle[:, :-1], model.initial_state(1))
        loss = model.head.nll(hidden, circle[:, 1:]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    sampler = Sampler(do_sample=False, max_new_tokens=24)
    exact = generate(model, sampler, vocab, [1, 2])
    with int8_weights(model):
        assert torch.equal(generate(model, sampler, vocab, [1, 2]), exact)


@pytest.mark.parametrize("refused", [(), (memory.MMAP_THRESHOLD,), (memory.MMAP_THRESHOLD, memory.MMAP_MAX)])
def test_trimming_stops_only_where_large_blocks_are_no_longer_mapped(
    refused: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set alone, it would make older C libraries map every large block again."""
    calls: list[int] = []

    def mallopt(option: int, value: int) -> int:
        calls.append(option)
        return int(option not in refused)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    keep_freed_memory()
    trims = len(refused) < 2
    assert calls == [memory.MMAP_THRESHOLD, memory.MMAP_MAX][: len(refused) + 1] + [memory.TRIM_THRESHOLD] * trims


def test_memory_can_be_kept_more_than_once() -> None:
    keep_freed_memory()
    keep_freed_memory()
    assert torch.zeros(4_000_000).sum() == 0


def test_on_a_card_a_profile_counts_each_kernel_once() -> None:
    """torch counts a kernel's time in the operation that started it and in a separate row."""

    def event(name: str, kind: DeviceType, device: float, cpu: float) -> Any:
        times = {"self_device_time_total": device, "self_cpu_time_total": cpu}
        return SimpleNamespace(name=name, device_type=kind, cpu_parent=None, **times)

    events = [
        event("aten::mm", DeviceType.CPU, 900.0, 40.0),
        event("sgemm", DeviceType.CUDA, 900.0, 0.0),
        event("aten::tanh", DeviceType.CPU, 100.0, 30.0),
        event("tanh_kernel", DeviceType.CUDA, 100.0, 0.0),
        event("cudaLaunchKernel", DeviceType.CPU, 0.0, 70.0),
    ]
    on_card = [("aten::mm", "matrix products", 900.0, 1), ("aten::tanh", "activations", 100.0, 1)]
    assert own_times(events) == on_card
    off_card = 2 * [event("aten::mm", DeviceType.CPU, 0.0, 40.0)]
    assert own_times(off_card) == [("aten::mm", "matrix products", 80.0, 2)]


def test_a_profile_tells_the_parts_of_our_own_operations_apart() -> None:
    model = RecurrentLanguageModel(20, 8, 8)
    choose_recurrence(model, "own")
    words = torch.randint(20, (2, 4))
    with profile(activities=[ProfilerActivity.CPU]) as found:
        hidden, _ = model(words[:, :-1], model.initial_state(2))
        model.head.nll(hidden, words[:, 1:]).mean().backward()
    rows = own_times(found.events() or [])
    assert {row.kind for row in rows if row.name in ("aten::sigmoid_", "aten::sigmoid_backward")} == {
        "recurrence between its products"
    }
    assert {row.kind for row in rows if row.name in ("aten::_log_softmax", "aten::exp_")} == {"softmax and loss"}
    products = {row.kind for row in rows if row.name in ("aten::mm", "mkldnn::_linear_pointwise")}
    assert products == {"matrix products", "products of the recurrence"}
    text = report([*rows, Row("Python", "Python, data and Lightning", 1000.0, 0)], windows=1)
    assert "of which the floor, its matrix products alone, takes" in text
    floor = sum(row.time for row in rows if row.kind in PRODUCTS)
    (python,) = (line for line in text.splitlines() if line.startswith("Python, data"))
    assert float(python.split()[-1]) == pytest.approx(1000 / floor, abs=0.006)


def test_a_profile_is_readable_and_adds_up(train: Callable[..., Run], text_file: Path) -> None:
    few = ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
    run = train(*few, "trainer.limit_train_batches=8", "trainer.profile=true")
    text = (run.dir / "profile.txt").read_text()
    assert "profile of 3 windows" in text  # five are left out
    kinds = text.split("\n\n")[1].splitlines()[1:]
    assert sum(float(line.split("%")[0].split()[-1]) for line in kinds) == pytest.approx(100, abs=1)
    assert any(line.startswith("matrix products") for line in kinds)
    assert (run.dir / "profile_trace.json").stat().st_size > 0
