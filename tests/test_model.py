"""The model: forward and step agree, windows join, the head's nats, sizes."""

from __future__ import annotations

import math

import pytest
import torch

from lm.config.build import build
from lm.models.interfaces import detach
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.system.errors import UserError

SETTINGS = [
    {},
    {"num_layers": 3},
    {"embedding_size": 12, "hidden_size": 12, "tied": True, "num_layers": 2},
    {"dropout": 0.5, "num_layers": 2},
]


def make(**settings: object) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    return RecurrentLanguageModel(30, **{"embedding_size": 8, "hidden_size": 12, **settings}).eval()


@pytest.mark.parametrize("settings", SETTINGS)
def test_forward_equals_step(settings: dict) -> None:
    model, tokens = make(**settings), torch.randint(30, (3, 11))
    hidden, state = model(tokens, model.initial_state(3))
    stepped, other = [], model.initial_state(3)
    for t in range(11):
        one, other = model.step(tokens[:, t], other)
        stepped.append(one)
    torch.testing.assert_close(torch.stack(stepped, dim=1), hidden, atol=1e-6, rtol=1e-5)
    for a, b in zip(state, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
def test_one_long_pass_equals_many_windows(settings: dict) -> None:
    model, tokens = make(**settings), torch.randint(30, (2, 20))
    whole, _ = model(tokens, model.initial_state(2))
    parts, state = [], model.initial_state(2)
    for window in tokens.split(6, dim=1):
        part, state = model(window, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-6, rtol=1e-5)


def test_nll_is_the_cross_entropy_of_the_logits() -> None:
    model = make()
    hidden, targets = torch.randn(2, 5, 12), torch.randint(30, (2, 5))
    expected = -model.head.logits(hidden).log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(model.head.nll(hidden, targets), expected)


def test_detach_keeps_the_memory_and_cuts_the_graph() -> None:
    model = make()
    _, state = model(torch.randint(30, (2, 4)), model.initial_state(2))
    cut = detach(state)
    assert all(part.grad_fn is not None for pair in state for part in pair)
    assert all(part.grad_fn is None for pair in cut for part in pair)
    torch.testing.assert_close(cut[0], state[0])


def test_tied_weights_are_one_matrix_with_one_gradient() -> None:
    model = make(embedding_size=12, tied=True)
    assert model.head.linear.weight is model.embedding.weight
    untied = make(embedding_size=12)
    saved = sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in model.parameters())
    assert saved == 30 * 12
    nats = model.head.nll(torch.randn(50, 12), torch.randint(30, (50,))).mean().item()
    assert math.exp(nats) == pytest.approx(30, rel=0.1)


def test_dropout_works_between_layers_and_only_in_training() -> None:
    model, tokens = make(dropout=0.5, num_layers=2), torch.randint(30, (2, 4))
    state = model.initial_state(2)
    torch.testing.assert_close(model(tokens, state)[0], model(tokens, state)[0])
    model.train()
    assert not torch.equal(model(tokens, state)[0], model(tokens, state)[0])


def test_the_default_is_the_classic_exercise() -> None:
    model = RecurrentLanguageModel(10_000)
    embedding, lstm, linear = 10_000 * 128, 4 * 1024 * (128 + 1024 + 2), 1024 * 10_000 + 10_000
    assert sum(p.numel() for p in model.parameters()) == embedding + lstm + linear


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"hidden_size": 0}, "model.hidden_size"),
        ({"embedding_size": -1}, "model.embedding_size"),
        ({"num_layers": 0}, "model.num_layers"),
        ({"dropout": 1.0}, "model.dropout"),
        ({"tied": True}, "model.tied"),
    ],
)
def test_sizes_that_make_no_model_are_named(settings: dict, named: str) -> None:
    with pytest.raises(UserError, match=named):
        make(**settings)


def test_a_configuration_from_before_there_were_heads_still_builds() -> None:
    node = {
        "_target_": "lm.models.RecurrentLanguageModel",
        "embedding_size": 8,
        "hidden_size": 12,
        "num_layers": 1,
    }
    model = build({**node, "dropout": 0.0, "tied": False}, "model", {"vocab_size": 30})
    names = ["embedding.weight", "head.linear.weight", "head.linear.bias"]
    assert {name for name in model.state_dict() if not name.startswith("layers.0.")} == set(names)
