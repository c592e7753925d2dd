"""The parts of strong models, each against a naive computation: values and gradients."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import stacked
from torch import Tensor, nn

from lm.models.cells.lstm import LSTM, LSTMLayer
from lm.models.cells.mogrifier import Mogrifier, MogrifierLayer
from lm.models.dropout import Dropout, RowDropout
from lm.models.heads.mixture_of_softmaxes import Mixture
from lm.models.interfaces import LanguageModel
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.system.errors import UserError

DROPPED: dict[str, Any] = {"embedding_dropout": 0.2, "input_dropout": 0.4, "layer_dropout": 0.3, "output_dropout": 0.5}
MODELS: dict[str, dict[str, Any]] = {
    "awd": {"cell": LSTM(weight_dropout=0.5), **DROPPED},
    "sizes": {"last_size": 7, "tied": False, "num_layers": 2},
    "mogrifier": {"cell": Mogrifier(rank=3, state_dropout=0.4), "hidden_size": 8, "sum_layers": True, **DROPPED},
    "zaremba": {"tied": False, "init_scale": 0.1, "num_layers": 2},
}


def make(**settings: Any) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    return stacked(30, **{"embedding_size": 8, "hidden_size": 12, **settings}).double()


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def stepped(model: LanguageModel, tokens: Tensor) -> Tensor:
    state, hidden = model.initial_state(len(tokens)), []
    for word in tokens.unbind(1):
        out, state = model.step(word, state)
        hidden.append(out)
    return torch.stack(hidden, dim=1)


def test_a_forget_bias_opens_the_forget_gates_alone() -> None:
    plain, open_ = make(cell=LSTM()), make(cell=LSTM(forget_bias=1.5))
    for (name, before), after in zip(plain.named_parameters(), open_.parameters(), strict=True):
        expected = before.detach().clone()
        if name.endswith("bias_ih"):  # gates in the order input, forget, candidate, output
            expected.view(4, -1)[1] += 1.5
        torch.testing.assert_close(after.detach(), expected)


@pytest.mark.parametrize("cell", [LSTM(forget_bias=1.5), Mogrifier(rank=None, forget_bias=1.5)])
def test_a_forget_bias_stands_on_top_of_an_initial_scale(cell: LSTM | Mogrifier) -> None:
    model = make(cell=cell, init_scale=0.1, num_layers=2)
    biases = [bias for name, bias in model.layers.named_parameters() if name.endswith((".bias_ih", ".bias"))]
    assert len(biases) == 2
    for bias in biases:
        i, f, g, o = bias.detach().view(4, -1)
        assert (f - 1.5).abs().max() <= 0.1
        assert torch.stack([i, g, o]).abs().max() <= 0.1


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", MODELS)
def test_forward_equals_step_under_the_same_masks(name: str, training: bool) -> None:
    model, tokens = make(**MODELS[name]).train(training), torch.randint(30, (3, 11))
    hidden, _ = model(tokens, model.initial_state(3))
    torch.testing.assert_close(stepped(model, tokens), hidden)
    gradients = []
    for out in (hidden, stepped(model, tokens)):
        model.zero_grad()
        out.pow(2).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", MODELS)
def test_windows_join_in_evaluation(name: str) -> None:
    model, tokens = make(**MODELS[name]).eval(), torch.randint(30, (2, 20))
    whole, _ = model(tokens, model.initial_state(2))
    parts, state = [], model.initial_state(2)
    for window in tokens.split(6, dim=1):
        part, state = model(window, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_masks_last_a_window_and_no_longer() -> None:
    model, tokens = make(**MODELS["awd"]), torch.randint(30, (3, 5))
    state = model.initial_state(3)
    model.begin_window()
    one, same = model.step(tokens[:, 0], state)[0], model.step(tokens[:, 0], state)[0]
    assert torch.equal(one, same)
    model.begin_window()
    assert not torch.equal(model.step(tokens[:, 0], state)[0], one)
    assert not torch.equal(model(tokens, state)[0], model(tokens, state)[0])
    copied = copy.deepcopy(model)
    assert not torch.equal(copied.step(tokens[:, 0], state)[0], model.step(tokens[:, 0], state)[0])


def test_evaluation_draws_nothing_and_leaves_the_window_at_hand() -> None:
    model, tokens = make(**MODELS["awd"]), torch.randint(30, (3, 5))
    before, rng = model.step(tokens[:, 0], model.initial_state(3))[0], torch.get_rng_state()
    model.eval()
    assert torch.equal(model.step(tokens[:, 0], model.initial_state(3))[0], stepped(model, tokens)[:, 0])
    model.train()
    assert torch.equal(model.step(tokens[:, 0], model.initial_state(3))[0], before)
    assert torch.equal(torch.get_rng_state(), rng)


def test_locked_dropout_has_one_mask_a_sequence_the_same_at_each_step() -> None:
    torch.manual_seed(0)
    part, x = Dropout(0.4), torch.ones(4, 6, 50, dtype=torch.float64, requires_grad=True)
    y = part(x)
    assert set(y.unique().tolist()) == {0.0, 1 / 0.6}
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert not torch.equal(y[0], y[1])
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    kept = torch.stack([(Dropout(0.4)(torch.ones(1, 1, 500)) > 0).double().mean() for _ in range(20)]).mean()
    assert kept == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_per_step_drops_each_unit_by_itself_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(1)
    x = torch.ones(40, 50, 60)
    found = Dropout(p, per="step")(x)
    assert found.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
    for axis in range(3):  # a mask shared along an axis would make whole slices 0
        shares = (found == 0).float().mean(dim=[other for other in range(3) if other != axis])
        assert ((shares - p).abs() < 0.05).all()
    assert float(found.mean()) == pytest.approx(1, abs=0.03)


def test_reduced_precision_keeps_its_type_and_the_exact_scale() -> None:
    part, x = Dropout(0.4), torch.full((2, 3, 40), 3.0, dtype=torch.bfloat16)
    assert part(x).dtype == torch.bfloat16
    assert set(part(x).unique().tolist()) == {0.0, torch.tensor(3 / 0.6).bfloat16().item()}


def test_row_dropout_is_dropout_of_the_matrix() -> None:
    torch.manual_seed(0)
    part, embedding, tokens = RowDropout(0.5), nn.Embedding(10, 4).double(), torch.randint(10, (3, 20))
    got = part(embedding(tokens), tokens, 10)
    matrix = embedding.weight.detach().clone().requires_grad_()
    mask = part.mask((10,), matrix.device, matrix.dtype)
    expected = nn.functional.embedding(tokens, matrix * mask.unsqueeze(1))
    assert 0 < int((mask == 0).sum()) < 10
    assert torch.equal(got, expected)
    got.pow(2).sum().backward()
    expected.pow(2).sum().backward()
    torch.testing.assert_close(embedding.weight.grad, matrix.grad)


def test_weight_dropout_is_an_lstm_with_the_dropped_matrix() -> None:
    torch.manual_seed(0)
    layer, x, zeros = (
        LSTMLayer(5, 7, LSTM(weight_dropout=0.5)).double(),
        torch.randn(3, 9, 5).double(),
        torch.zeros(3, 7),
    )
    memory = (zeros.double(), zeros.double())
    got, _ = layer.window(x, memory)
    raw = layer.weight_hh
    mask = layer.weight_dropout.mask(tuple(raw.shape), raw.device, raw.dtype)
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    # Step by step, by the LSTM's formulas, from a leaf of its own.
    leaf = raw.detach().clone().requires_grad_()
    into, bias = layer.weight_ih, layer.bias_ih + layer.bias_hh
    (h, c), outputs = memory, []
    for t in range(9):
        i, f, g, o = (x[:, t] @ into.T + h @ (leaf * mask).T + bias).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    expected = torch.stack(outputs, dim=1)
    torch.testing.assert_close(got, expected)
    got.pow(2).sum().backward()
    expected.pow(2).sum().backward(inputs=[leaf])
    torch.testing.assert_close(raw.grad, leaf.grad)
    assert torch.equal(raw.grad == 0, mask == 0)


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize(("rounds", "rank"), [(5, 2), (2, 3), (3, None), (0, 2)])
def test_mogrifier_is_its_formula(rounds: int, rank: int | None, coupled: bool) -> None:
    torch.manual_seed(0)
    layer = MogrifierLayer(4, 6, Mogrifier(rounds, rank, coupled)).double()
    memory = (torch.randn(3, 6).double(), torch.randn(3, 6).double())
    xs = torch.randn(3, 7, 4).double()
    got, (h_got, c_got) = layer.window(xs, memory)
    leaves = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}
    factors = range(1 if rank is None else 2)
    (h, c), outputs = memory, []
    for t in range(7):
        x = xs[:, t]
        for turn in range(1, rounds + 1):  # odd: the input, even: the state
            product = torch.eye(4 if turn % 2 == 0 else 6).double()
            for k in factors:
                product = leaves[f"gates.{turn - 1}.{k}"] @ product  # Q or R, as one matrix
            if turn % 2:
                x = 2 * torch.sigmoid(h @ product.T) * x
            else:
                h = 2 * torch.sigmoid(x @ product.T) * h
        a = x @ leaves["weight"][:, :4].T + h @ leaves["weight"][:, 4:].T + leaves["bias"]
        i, f, g, o = a.split(6, dim=1)
        i, f = torch.sigmoid(i), torch.sigmoid(f)
        i = torch.where(i < 1 - f, i, 1 - f) if coupled else i
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    expected = torch.stack(outputs, dim=1)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close((h_got, c_got), (h, c))
    got.pow(2).sum().backward()
    expected.pow(2).sum().backward()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.grad, leaves[name].grad)


def test_coupled_gates_never_let_the_memory_grow_beyond_one() -> None:
    torch.manual_seed(0)
    memory = (torch.zeros(2, 6), torch.zeros(2, 6))
    xs = 10 * torch.randn(2, 200, 4)
    bounds = {}
    for coupled in (True, False):
        torch.manual_seed(1)
        bounds[coupled] = MogrifierLayer(4, 6, Mogrifier(0, 2, coupled)).window(xs, memory)[1][1].abs().max()
    assert bounds[True] <= 1 < bounds[False]


def test_state_dropout_is_held_over_the_window_and_spares_what_is_carried() -> None:
    torch.manual_seed(0)
    layer = MogrifierLayer(4, 6, Mogrifier(2, 2, state_dropout=0.5))
    memory = (torch.ones(3, 6), torch.ones(3, 6))
    out, (h, _) = layer.window(torch.randn(3, 5, 4), memory)
    mask = layer.state_dropout.mask((3, 6), h.device, h.dtype)
    assert 0 < int((mask == 0).sum()) < 18
    assert torch.equal(out[:, -1], h)
    assert (h != 0).all()
    one = layer.step(torch.ones(3, 4), (memory[0] * (mask > 0), memory[1]))
    torch.testing.assert_close(one, layer.step(torch.ones(3, 4), memory))


def test_summed_layers_are_the_sum_of_their_outputs() -> None:
    model, tokens = make(**MODELS["mogrifier"]).eval(), torch.randint(30, (2, 5))
    hidden, _ = model(tokens, model.initial_state(2))
    x, total = model.embedding(tokens), 0
    for layer, memory in zip(model.layers, model.initial_state(2), strict=True):
        x, _ = layer.window(x, memory)
        total = total + x
    torch.testing.assert_close(hidden, total)


def test_tied_weights_have_one_gradient_of_both_uses() -> None:
    tied, tokens = make(**MODELS["awd"]).eval(), torch.randint(30, (2, 6))
    apart = make(**MODELS["awd"], tied=False, last_size=8).eval()
    apart.load_state_dict(tied.state_dict())
    for model in (tied, apart):
        hidden, _ = model(tokens[:, :-1], model.initial_state(2))
        model.head.nll(hidden, tokens[:, 1:]).mean().backward()
    assert tied.head.linear.weight is tied.embedding.weight
    torch.testing.assert_close(tied.embedding.weight.grad, apart.embedding.weight.grad + apart.head.linear.weight.grad)


def test_sizes_and_starting_weights_are_the_recipes() -> None:
    awd, zaremba = stacked(10_000), make(**MODELS["zaremba"])
    assert [layer.hidden_size for layer in awd.layers] == [1150, 1150, 400]
    assert round(sum(p.numel() for p in awd.parameters()) / 1e6) == 24
    assert 0.099 < awd.embedding.weight.abs().max() <= 0.1
    assert not awd.head.linear.bias.any()
    assert awd.layers[0].weight_hh.abs().max() <= 1150**-0.5  # torch's own
    for parameter in zaremba.parameters():
        assert 0.05 < parameter.abs().max() <= 0.1
    mogrifier = stacked(10_000, 912, 912, num_layers=2, cell=Mogrifier(), embedding_init=None)
    assert round(sum(p.numel() for p in mogrifier.parameters()) / 1e6) == 24
    layer = mogrifier.layers[0]
    for matrix in (mogrifier.embedding.weight, layer.weight[:, :912], layer.weight[:, 912:]):
        assert matrix.std().item() * matrix.shape[1] ** 0.5 == pytest.approx(1, abs=0.01)
        assert matrix.abs().max().item() * matrix.shape[1] ** 0.5 == pytest.approx(2 / 0.8796, abs=0.01)
    for factor in layer.gates.parameters():
        assert factor.std().item() * factor.shape[1] ** 0.5 == pytest.approx(0.88, abs=0.01)  # cut at two deviations
    assert mogrifier.layers[0].bias.view(4, -1).unique(dim=1).flatten().tolist() == [0, 1, 0, 0]


def test_only_the_output_matrix_starts_as_the_embedding_does() -> None:
    """Four experts of fifteen units have as many rows as sixty words."""
    torch.manual_seed(0)
    head = stacked(60, 15, 20, tied=False, head=Mixture(4)).head
    assert not head.decoder.bias.any()
    assert head.decoder.weight.abs().max() <= 0.1
    assert head.latent.bias.any()
    assert head.latent.weight.abs().max() > 0.1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"hidden_size": 0}, r"model\.hidden_size"),
        ({"last_size": 0}, r"model\.last_size"),
        ({"last_size": 9}, r"model\.tied.*last_size.* 8 and 9"),
        ({"layer_dropout": 1.0}, r"model\.layer_dropout"),
        ({"sum_layers": True}, r"model\.sum_layers"),
    ],
)
def test_what_makes_no_model_is_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        make(**settings)


@pytest.mark.parametrize(
    "cell", [(LSTM, {"weight_dropout": -1}), (Mogrifier, {"rounds": -1}), (Mogrifier, {"rank": 0})]
)
def test_what_makes_no_cell_is_named(cell: tuple[Any, dict[str, Any]]) -> None:
    kind, settings = cell
    with pytest.raises(UserError, match=rf"model\.cell\.{next(iter(settings))}"):
        kind(**settings)
