"""Every recurrent cell against the formulas of its paper, in plain loops over time: values, gradients and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lm.models.cells import GRU, LSTM, QRNN, RNN, SLSTM, Cell, MinGRU, MinLSTM, Mogrifier, RecurrentLayer
from lm.models.interfaces import State, detach
from lm.models.kernels.cudnn import cudnn_window
from lm.models.kernels.int8 import int8_weights
from lm.models.recurrent_language_model import RecurrentLanguageModel

INPUT, HIDDEN, BATCH, STEPS = 3, 4, 2, 7
Weights = dict[str, Tensor]
Memory = tuple[Tensor, ...]


def products(w: Weights, x: Tensor, h: Tensor, gates: int, state: Any) -> tuple[list[Tensor], list[Tensor]]:
    """W x + b and U h + b', each gate apart. `state`: the dropped units of h, and the dropped values of U."""
    units, values = state
    of_input = x @ w["weight_ih"].T + w["bias_ih"]
    of_state = (h * units) @ (w["weight_hh"] * values).T + w["bias_hh"]
    return list(of_input.chunk(gates, -1)), list(of_state.chunk(gates, -1))


def lstm(w: Weights, xs: Tensor, memory: Memory, state: Any) -> tuple[list[Tensor], Memory]:
    (h, c), outputs = memory, []
    for x in xs.unbind(1):
        i, f, g, o = (one + other for one, other in zip(*products(w, x, h, 4, state), strict=True))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return outputs, (h, c)


def gru(w: Weights, xs: Tensor, memory: Memory, state: Any) -> tuple[list[Tensor], Memory]:
    (h,), outputs = memory, []
    for x in xs.unbind(1):
        (r, z, n), (r_, z_, n_) = products(w, x, h, 3, state)
        r, z = torch.sigmoid(r + r_), torch.sigmoid(z + z_)
        h = (1 - z) * torch.tanh(n + r * n_) + z * h
        outputs.append(h)
    return outputs, (h,)


def rnn(w: Weights, xs: Tensor, memory: Memory, state: Any, kind: Callable[[Tensor], Tensor] = torch.tanh) -> Any:
    (h,), outputs = memory, []
    for x in xs.unbind(1):
        (a,), (b,) = products(w, x, h, 1, state)
        h = kind(a + b)
        outputs.append(h)
    return outputs, (h,)


def slstm(w: Weights, xs: Tensor, memory: Memory, state: Any) -> tuple[list[Tensor], Memory]:
    """Without a stabiliser: c and n are what the cell's are after exp(m) has been multiplied in again."""
    (h, c, n, m), outputs = memory, []
    c, n = c * m.exp(), n * m.exp()
    for x in xs.unbind(1):
        i, f, z, o = (one + other for one, other in zip(*products(w, x, h, 4, state), strict=True))
        c = torch.sigmoid(f) * c + torch.exp(i) * torch.tanh(z)
        n = torch.sigmoid(f) * n + torch.exp(i)
        h = torch.sigmoid(o) * c / n
        outputs.append(h)
    return outputs, (h, c, n, torch.zeros_like(m))


def mogrifier(w: Weights, xs: Tensor, memory: Memory, state: Any) -> tuple[list[Tensor], Memory]:
    (h, c), outputs = memory, []
    for x in xs.unbind(1):
        h = h * state[0]
        for turn in range(5):
            matrix = w[f"gates.{turn}.1"] @ w[f"gates.{turn}.0"]
            if turn % 2 == 0:
                x = 2 * torch.sigmoid(h @ matrix.T) * x
            else:
                h = 2 * torch.sigmoid(x @ matrix.T) * h
        i, f, g, o = (torch.cat([x, h], -1) @ w["weight"].T + w["bias"]).chunk(4, -1)
        i, f = torch.sigmoid(i), torch.sigmoid(f)
        c = f * c + torch.where(i < 1 - f, i, 1 - f) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return outputs, (h, c)


def qrnn(w: Weights, xs: Tensor, memory: Memory, state: Any) -> tuple[list[Tensor], Memory]:
    c, before = memory
    width, outputs = before.shape[1] + 1, []
    kernel = w["weight"].unflatten(1, (width, xs.shape[2])).transpose(1, 2)  # gates, inputs, width
    read = torch.cat([before, xs], 1)
    z, f, o = F.conv1d(read.transpose(1, 2), kernel, w["bias"]).chunk(3, 1)  # B, H, T each
    for t in range(xs.shape[1]):
        forget = torch.sigmoid(f[..., t])
        c = forget * c + (1 - forget) * torch.tanh(z[..., t])
        outputs.append(torch.sigmoid(o[..., t]) * c)
    return outputs, (c, read[:, xs.shape[1] :])


def g(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def min_gru(w: Weights, xs: Tensor, memory: Memory, state: Any) -> tuple[list[Tensor], Memory]:
    (h,), outputs = memory, []
    for x in xs.unbind(1):
        z, candidate = (x @ w["weight"].T + w["bias"]).chunk(2, -1)
        z = torch.sigmoid(z)
        h = (1 - z) * h + z * g(candidate)
        outputs.append(h)
    return outputs, (h,)


def min_lstm(w: Weights, xs: Tensor, memory: Memory, state: Any) -> tuple[list[Tensor], Memory]:
    (h,), outputs = memory, []
    for x in xs.unbind(1):
        i, f, candidate = (x @ w["weight"].T + w["bias"]).chunk(3, -1)
        i, f = torch.sigmoid(i), torch.sigmoid(f)
        h = f / (f + i) * h + i / (f + i) * g(candidate)
        outputs.append(h)
    return outputs, (h,)


def in_logarithms(log_a: Tensor, log_b: Tensor, h: Tensor) -> tuple[list[Tensor], Memory]:
    """The parallel scan of Feng et al. (2024), as they publish it: log a and log b [B, T, H], the h before [B, H]."""
    a_star = F.pad(log_a.cumsum(1), (0, 0, 1, 0))
    log_h0_b = torch.cat([h.log().unsqueeze(1), log_b], 1)
    hs = (a_star + torch.logcumsumexp(log_h0_b - a_star, 1)).exp()[:, 1:]
    return list(hs.unbind(1)), (hs[:, -1],)


def log_g(x: Tensor) -> Tensor:
    return torch.where(x >= 0, (F.relu(x) + 0.5).log(), -F.softplus(-x))


def min_gru_in_logarithms(w: Weights, xs: Tensor, memory: Memory, state: Any) -> tuple[list[Tensor], Memory]:
    z, candidate = (xs @ w["weight"].T + w["bias"]).chunk(2, -1)
    return in_logarithms(-F.softplus(z), -F.softplus(-z) + log_g(candidate), memory[0])


def min_lstm_in_logarithms(w: Weights, xs: Tensor, memory: Memory, state: Any) -> tuple[list[Tensor], Memory]:
    i, f, candidate = (xs @ w["weight"].T + w["bias"]).chunk(3, -1)
    difference = F.softplus(-f) - F.softplus(-i)
    return in_logarithms(-F.softplus(difference), -F.softplus(-difference) + log_g(candidate), memory[0])


def relu_rnn(w: Weights, xs: Tensor, memory: Memory, state: Any) -> tuple[list[Tensor], Memory]:
    return rnn(w, xs, memory, state, torch.relu)


RATES = {"weight_dropout": 0.4, "state_dropout": 0.5}
CASES: dict[str, tuple[Cell, Callable[..., tuple[list[Tensor], Memory]]]] = {
    "lstm": (LSTM(forget_bias=0.5), lstm),
    "lstm, dropped weights": (LSTM(weight_dropout=0.4), lstm),
    "lstm, dropped": (LSTM(**RATES), lstm),
    "gru": (GRU(), gru),
    "gru, dropped weights": (GRU(weight_dropout=0.4), gru),
    "gru, dropped": (GRU(**RATES), gru),
    "tanh": (RNN(), rnn),
    "tanh, dropped": (RNN(**RATES), rnn),
    "relu": (RNN(nonlinearity="relu"), relu_rnn),
    "relu, dropped": (RNN(**RATES, nonlinearity="relu"), relu_rnn),
    "slstm": (SLSTM(forget_bias=0.5), slstm),
    "slstm, dropped": (SLSTM(**RATES), slstm),
    "mogrifier": (Mogrifier(rank=2), mogrifier),
    "mogrifier, dropped": (Mogrifier(rank=2, state_dropout=0.5), mogrifier),
    "qrnn 1": (QRNN(width=1), qrnn),
    "qrnn 2": (QRNN(width=2, forget_bias=0.5), qrnn),
    "qrnn 3": (QRNN(width=3), qrnn),
    "min_gru": (MinGRU(), min_gru),
    "min_gru in logarithms": (MinGRU(), min_gru_in_logarithms),
    "min_lstm": (MinLSTM(forget_bias=0.5), min_lstm),
    "min_lstm in logarithms": (MinLSTM(), min_lstm_in_logarithms),
}
PLAIN = {name: cell for name, (cell, _) in CASES.items() if "," not in name and "in log" not in name}


def layer_of(cell: Cell) -> Any:
    torch.manual_seed(0)
    layer = cell.layer(INPUT, HIDDEN).double()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(2)  # far enough from linear
    return layer


def carried(layer: RecurrentLayer) -> Memory:
    """A random memory; above zero, as a normaliser and the h of minimal cells are."""
    return tuple(torch.rand_like(part) + 0.1 for part in layer.first(BATCH))


def masks(layer: Any) -> tuple[Any, Any]:
    """The dropped units of h and the dropped values of the recurrent weights, as the layer drew them."""
    drawn = [getattr(getattr(layer, name, None), "_mask", None) for name in ("state_dropout", "weight_dropout")]
    assert [mask is not None for mask in drawn] == [
        getattr(layer, name, nn.Dropout(0.0)).p > 0 for name in ("state_dropout", "weight_dropout")
    ]
    return tuple(1.0 if mask is None else mask for mask in drawn)  # type: ignore[return-value]


def with_gradients(
    read: Callable[[Tensor, Memory], tuple[Tensor, Memory]], weights: list[Tensor], x: Tensor, memory: Memory
) -> tuple[Tensor, Memory, list[Tensor | None]]:
    """Outputs, memory, and the gradients of a weighed sum of the outputs: of the weights, the input and the memory."""
    x, memory = x.clone().requires_grad_(), tuple(part.clone().requires_grad_() for part in memory)
    out, after = read(x, memory)
    loss = (out * torch.arange(out.numel()).cos().view_as(out)).sum()
    gradients = torch.autograd.grad(loss, [*weights, x, *memory], materialize_grads=True)
    return out.detach(), tuple(part.detach() for part in after), list(gradients)


def by_steps(layer: RecurrentLayer) -> Callable[[Tensor, Memory], tuple[Tensor, Memory]]:
    def read(x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        outputs = []
        for one in x.unbind(1):
            out, memory = layer.step(one, memory)
            outputs.append(out)
        return torch.stack(outputs, dim=1), memory

    return read


@pytest.mark.parametrize("name", CASES)
def test_a_cell_is_its_formula(name: str) -> None:
    cell, formula = CASES[name]
    layer, x = layer_of(cell), torch.randn(BATCH, STEPS, INPUT).double()
    memory, names = carried(layer), [name for name, _ in layer.named_parameters()]
    out, after, gradients = with_gradients(layer.window, list(layer.parameters()), x, memory)
    leaves = {name: weight.detach().clone().requires_grad_() for name, weight in layer.named_parameters()}

    def naive(x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        outputs, after = formula(leaves, x, memory, masks(layer))
        return torch.stack(outputs, dim=1), after

    expected, last, by_formula = with_gradients(naive, [leaves[name] for name in names], x, memory)
    torch.testing.assert_close(out, expected)
    if isinstance(cell, SLSTM):  # what is carried is scaled by the stabiliser
        h, c, n, m = after
        after = (h, c * m.exp(), n * m.exp(), torch.zeros_like(m))
    torch.testing.assert_close(after, last)
    torch.testing.assert_close(gradients, by_formula)
    assert all(gradient is not None and gradient.any() for gradient in gradients[: len(names)])


@pytest.mark.parametrize("name", CASES)
def test_a_window_is_its_steps_and_windows_join(name: str) -> None:
    layer, x = layer_of(CASES[name][0]), torch.randn(BATCH, 15, INPUT).double()
    weights = list(layer.parameters())

    def in_pieces(x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        outputs = []
        for window in x.split([1, 7, 7], dim=1):  # without a detach, their gradients are those of one window
            out, memory = layer.window(window, memory)
            outputs.append(out)
        return torch.cat(outputs, dim=1), memory

    for memory in (layer.first(BATCH), carried(layer)):
        whole = with_gradients(layer.window, weights, x, memory)
        torch.testing.assert_close(with_gradients(by_steps(layer), weights, x, memory), whole)
        torch.testing.assert_close(with_gradients(in_pieces, weights, x, memory), whole)


@pytest.mark.parametrize("name", PLAIN)
def test_only_a_detached_memory_ends_back_propagation(name: str) -> None:
    layer, windows = layer_of(PLAIN[name]), torch.randn(2, BATCH, STEPS, INPUT).double().requires_grad_()
    for cut in (False, True):
        _, memory = layer.window(windows[0], layer.first(BATCH))
        out, _ = layer.window(windows[1], detach([memory])[0] if cut else memory)
        (gradient,) = torch.autograd.grad(out.sum(), windows)
        assert gradient[1].any()
        assert bool(gradient[0].any()) is not cut


FIRST = {"min_gru": [0.5], "min_lstm": [0.5], "slstm": [0, 0, 0, -1e4]}


@pytest.mark.parametrize("name", PLAIN)
def test_a_sequence_that_begins_anew_has_the_cells_own_first_memory(name: str) -> None:
    model = RecurrentLanguageModel(9, INPUT, HIDDEN, num_layers=2, cell=PLAIN[name])
    first = model.initial_state(BATCH)
    assert [part.unique().tolist() for part in first[0] if part.numel()] == [
        [value] for value in FIRST.get(name, [0] * len([part for part in first[0] if part.numel()]))
    ]
    _, state = model(torch.randint(9, (BATCH, 5)), first)

    def compare(got: State, wanted: list[State]) -> None:
        for layer, *sources in zip(got, *wanted, strict=True):
            for part, *rows in zip(layer, *sources, strict=True):
                assert torch.equal(part, torch.stack([row[place] for place, row in enumerate(rows)]))

    assert not torch.equal(state[0][0], first[0][0])
    compare(model.renewed(state, np.array([True, False])), [first, state])
    compare(model.renewed(state, np.array([True, True])), [first, first])
    compare(model.renewed(state, np.array([False, False])), [state, state])
    compare(model.reset_some(state, 1.0), [first, first])
    compare(model.reset_some(state, 0.0), [state, state])
    torch.manual_seed(1)
    anew = torch.rand(BATCH, 1) < 0.5
    assert anew.sum() == 1
    torch.manual_seed(1)
    compare(model.reset_some(state, 0.5), [first if one else state for one in anew])


@pytest.mark.parametrize("size", [80, -80, 600, -600])
def test_slstm_gates_of_any_size_do_not_overflow(size: int) -> None:
    layer = SLSTM().layer(1, 2)
    with torch.no_grad():
        layer.weight_ih.fill_(size)
    x = torch.tensor([1, -1, 1, 1, -1, -1, 0.5] * 20).view(1, -1, 1).requires_grad_()
    out, memory = layer.window(x, layer.first(1))
    gradients = torch.autograd.grad(out.sum(), [*layer.parameters(), x])
    assert all(part.isfinite().all() for part in (out, *memory, *gradients))
    assert out.abs().max() > 0.5
    wide = SLSTM().layer(1, 2).double()
    wide.load_state_dict(layer.state_dict())
    expected, _ = slstm({name: w.double() for name, w in wide.named_parameters()}, x.double(), wide.first(1), (1, 1))
    torch.testing.assert_close(out.double(), torch.stack(expected, dim=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("cell", "bias", "gates", "place"),
    [
        (LSTM, "bias_ih", 4, 1),
        (SLSTM, "bias_ih", 4, 1),
        (Mogrifier, "bias", 4, 1),
        (QRNN, "bias", 3, 1),
        (MinLSTM, "bias", 3, 1),
    ],
)
def test_a_forget_bias_opens_the_forget_gate_alone(cell: Any, bias: str, gates: int, place: int) -> None:
    layers = []
    for amount in (0.0, 1.5):
        torch.manual_seed(0)
        layers.append(cell(forget_bias=amount).layer(INPUT, HIDDEN))
    for (name, before), after in zip(layers[0].named_parameters(), layers[1].parameters(), strict=True):
        expected = before.detach().clone()
        if name == bias:
            expected.view(gates, -1)[place] += 1.5
        torch.testing.assert_close(after.detach(), expected)


@pytest.mark.parametrize("name", PLAIN)
def test_a_word_sampled_in_8_bits_is_near_the_exact_one(name: str) -> None:
    torch.manual_seed(0)
    model = RecurrentLanguageModel(50, 32, 32, num_layers=2, cell=PLAIN[name], embedding_init=0.5).eval()
    words, read = torch.randint(50, (1, 12)), {}
    with torch.no_grad():
        for bits in (32, 8):
            state, found = model.initial_state(1), []
            with int8_weights(model) if bits == 8 else torch.no_grad():
                for word in words.unbind(1):
                    hidden, state = model.step(word, state)
                    found.append((hidden, model.head.logits(hidden)))
            read[bits] = [torch.stack(parts) for parts in zip(*found, strict=True)]
    for exact, rounded in zip(read[32], read[8], strict=True):  # the hidden vectors, which are the cell's; the logits
        assert 0 < (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("cell", [LSTM(), GRU(), RNN(), RNN(nonlinearity="relu")], ids=["lstm", "gru", "rnn", "relu"])
def test_units_that_fill_up_for_a_gpu_change_nothing(cell: Cell) -> None:
    """Sizes that are no multiples of eight: values and gradients of the filled-up window, here on the processor."""
    kernels = {LSTM: torch.lstm, GRU: torch.gru}
    relu = isinstance(cell, RNN) and cell.nonlinearity == "relu"
    kernel = kernels.get(type(cell), torch.rnn_relu if relu else torch.rnn_tanh)
    torch.manual_seed(0)
    layer, x = cell.layer(5, 11).double(), torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    memory = tuple(torch.rand_like(part) for part in layer.first(3))
    found = []
    for out, after in (layer.window(x, memory), cudnn_window(kernel, x, memory, layer.weights(), True)):
        loss = out.square().sum() + sum(part.sum() for part in after)
        found.append((out, *after, *torch.autograd.grad(loss, [x, *layer.parameters()])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
