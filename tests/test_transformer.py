"""The Transformer against its formulas, in plain loops: values and gradients, windows, and how far it reads back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lm.models.interfaces import LanguageModel, State, detach
from lm.models.kernels.int8 import int8_weights
from lm.models.transformer_language_model import TransformerLanguageModel
from lm.system.errors import UserError

WORDS, CONTEXT = 30, 4


def make(**settings: Any) -> TransformerLanguageModel:
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "hidden_size": 8, "num_layers": 2, "heads": 2, "context": CONTEXT, "dropout": 0.0}
    model = TransformerLanguageModel(WORDS, **{**sizes, **settings})
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.5 * torch.randn_like(weight) + (weight.ndim == 1))  # far from linear, and from equal keys
    return model


def normed(x: list[Tensor], weight: Tensor, bias: Tensor) -> list[Tensor]:
    return [(one - one.mean()) / ((one - one.mean()).pow(2).mean() + 1e-5).sqrt() * weight + bias for one in x]


def turned(x: Tensor, position: int) -> Tensor:
    """The rotation of Su et al. (2021) at an absolute position: of unit d with unit d + D / 2, as complex numbers."""
    half = len(x) // 2
    angles = position * torch.tensor([10_000 ** (-2 * d / len(x)) for d in range(half)], dtype=torch.float64)
    pairs = torch.complex(x[:half], x[half:]) * torch.complex(angles.cos(), angles.sin())
    return torch.cat([pairs.real, pairs.imag])


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def naive(w: dict[str, Tensor], words: list[int], heads: int, context: int, layers: int) -> Tensor:
    """The output at each position of one text [T, H], each position a sum over itself and those it sees."""
    x = [w["embedding.weight"][word] for word in words]
    if "widen.weight" in w:
        x = [w["widen.weight"] @ one for one in x]
    for layer in range(layers):
        p = {name.removeprefix(f"layers.{layer}."): value for name, value in w.items()}
        before = normed(x, p["attention_norm.weight"], p["attention_norm.bias"])
        mapped = [p["queries_keys_values.weight"] @ one + p["queries_keys_values.bias"] for one in before]
        size = len(mapped[0]) // 3
        after = []
        for t in range(len(words)):
            parts = []
            for head in range(heads):
                units = slice(head * size // heads, (head + 1) * size // heads)
                q = turned(mapped[t][:size][units], t)
                seen = range(max(0, t - context), t + 1)
                scores = [q @ turned(mapped[s][size : 2 * size][units], s) / math.sqrt(len(q)) for s in seen]
                weights = [score.exp() for score in scores]
                values = [mapped[s][2 * size :][units] for s in seen]
                parts.append(sum(a * v for a, v in zip(weights, values, strict=True)) / sum(weights))
            after.append(x[t] + p["attended.weight"] @ torch.cat(parts) + p["attended.bias"])
        x = after
        inner = normed(x, p["network_norm.weight"], p["network_norm.bias"])
        wide = [gelu(p["up.weight"] @ one + p["up.bias"]) for one in inner]
        x = [one + p["down.weight"] @ two + p["down.bias"] for one, two in zip(x, wide, strict=True)]
    x = normed(x, w["norm.weight"], w["norm.bias"])
    return torch.stack([w["narrow.weight"] @ one if "narrow.weight" in w else one for one in x])


def weighed(out: Tensor) -> Tensor:
    return (out * torch.arange(out.numel()).cos().view_as(out)).sum()


def stepped(model: LanguageModel, tokens: Tensor, state: State) -> tuple[Tensor, State]:
    hidden = []
    for word in tokens.unbind(1):
        out, state = model.step(word, state)
        hidden.append(out)
    return torch.stack(hidden, dim=1), state


def in_windows(model: LanguageModel, tokens: Tensor, size: int, detached: bool = False) -> Tensor:
    state, hidden = model.initial_state(len(tokens)), []
    for window in tokens.split(size, dim=1):
        out, state = model(window, detach(state) if detached else state)
        hidden.append(out)
    return torch.cat(hidden, dim=1)


@pytest.mark.parametrize("settings", [{}, {"embedding_size": 6}, {"embedding_size": 6, "tied": False}, {"heads": 1}])
def test_a_text_read_in_windows_is_the_formula(settings: dict[str, Any]) -> None:
    model, tokens = make(**settings).double(), torch.randint(WORDS, (2, 13))
    out = in_windows(model, tokens, 5)
    leaves = {name: weight.detach().clone().requires_grad_() for name, weight in model.named_parameters()}
    expected = torch.stack([naive(leaves, text, model.layers[0].heads, CONTEXT, 2) for text in tokens.tolist()])
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-6)
    names = [name for name in leaves if not name.startswith("head.")]  # the output layer is no part of it
    got = torch.autograd.grad(weighed(out), [model.get_parameter(name) for name in names])
    wanted = torch.autograd.grad(weighed(expected), [leaves[name] for name in names])
    for name, one, other in zip(names, got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, msg=name)
        assert one.any()


def test_windows_equal_steps_with_their_gradients_and_their_state() -> None:
    model, tokens = make().double(), torch.randint(WORDS, (2, 15))
    _, start = model(torch.randint(WORDS, (2, 3)), model.initial_state(2))
    start = detach(start)
    found = []
    for read in (model, lambda tokens, state: stepped(model, tokens, state)):
        out, after = read(tokens, start)
        loss = weighed(out) + sum(weighed(part) for layer in after[1:] for part in layer)
        found.append((out.detach(), after, torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)))
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-5)
    assert found[0][1][0][0].tolist() == [CONTEXT, CONTEXT]


def test_a_text_is_read_the_same_in_any_pieces() -> None:
    model, tokens = make(context=40).eval(), torch.randint(WORDS, (1, 1100))
    with torch.no_grad():
        whole, state = model(tokens, model.initial_state(1))
        for size in (7, 512):
            torch.testing.assert_close(in_windows(model, tokens, size), whole, rtol=1e-4, atol=1e-4)
        by_steps, after = stepped(model, tokens, model.initial_state(1))
    torch.testing.assert_close(by_steps, whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after, state, rtol=1e-4, atol=1e-4)


def test_back_propagation_goes_through_carried_keys_and_values_until_they_are_detached() -> None:
    model, tokens = make().double(), torch.randint(WORDS, (2, 10))
    whole, parts, cut = (
        torch.autograd.grad(weighed(out), list(model.layers.parameters()))
        for out in (
            model(tokens, model.initial_state(2))[0],
            in_windows(model, tokens, 5),
            in_windows(model, tokens, 5, detached=True),
        )
    )
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-5)
    assert (cut[2] - whole[2]).norm() > 1e-3 * whole[2].norm()  # of queries, keys and values


@pytest.mark.parametrize("size", [1, 5, 30])
@pytest.mark.parametrize(("layers", "reach"), [(1, CONTEXT), (2, 2 * CONTEXT)])
def test_a_word_reaches_as_far_as_the_context_of_all_layers(layers: int, reach: int, size: int) -> None:
    model, tokens = make(num_layers=layers).double().eval(), torch.randint(WORDS - 1, (1, 20))
    other = tokens.clone()
    other[0, 6] = WORDS - 1
    with torch.no_grad():
        changed = (in_windows(model, tokens, size) - in_windows(model, other, size)).abs().amax(-1)[0] > 1e-9
    assert changed.nonzero().flatten().tolist() == list(range(6, 6 + reach + 1))


def test_a_sequence_that_begins_anew_reads_nothing_before_it() -> None:
    model, tokens = make().double().eval(), torch.randint(WORDS, (2, 9))
    _, state = model(torch.randint(WORDS, (2, 6)), model.initial_state(2))
    fresh, going = model(tokens, model.initial_state(2))[0], model(tokens, state)[0]
    for anew in ([True, False], [False, False], [True, True]):
        read, _ = model(tokens, model.renewed(state, np.array(anew)))
        torch.testing.assert_close(read, torch.stack([(fresh if one else going)[row] for row, one in enumerate(anew)]))
    assert not torch.allclose(fresh[:, 0], going[:, 0])
    reset = np.zeros((2, 9), dtype=bool)
    reset[1, 4] = True
    within, _ = model(tokens, state, reset)
    torch.testing.assert_close(within[0], going[0])
    torch.testing.assert_close(within[1, 4:], model(tokens[:, 4:], model.initial_state(2))[0][1])
    torch.testing.assert_close(model.reset_some(state, 1.0), model.initial_state(2))
    torch.testing.assert_close(model.reset_some(state, 0.0), state)


def test_a_word_sampled_in_8_bits_is_near_the_exact_one() -> None:
    torch.manual_seed(0)
    model = TransformerLanguageModel(50, 32, 32, num_layers=2, context=CONTEXT).eval()
    tokens, read = torch.randint(50, (1, 12)), {}
    with torch.no_grad():
        for bits in (32, 8):
            with int8_weights(model) if bits == 8 else torch.no_grad():
                hidden, _ = stepped(model, tokens, model.initial_state(1))
                read[bits] = (hidden, model.head.logits(hidden))
    for exact, rounded in zip(read[32], read[8], strict=True):
        assert 0 < (rounded - exact).norm() < 0.05 * exact.norm()


def test_dropout_is_of_training_alone() -> None:
    model, tokens = make(dropout=0.5), torch.randint(WORDS, (2, 5))
    one, other = (model(tokens, model.initial_state(2))[0] for _ in range(2))
    assert not torch.equal(one, other)
    model.eval()
    assert torch.equal(*(model(tokens, model.initial_state(2))[0] for _ in range(2)))


@pytest.mark.parametrize("settings", [{"hidden_size": 6}, {"hidden_size": 9, "heads": 1}, {"context": 0}])
def test_what_makes_no_transformer_is_named(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"model\.{next(iter(settings))} must be"):
        make(**settings)
