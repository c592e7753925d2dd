"""Output layers against explicit probabilities."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import stacked
from torch import nn

from lm.models.heads.mixture_of_softmaxes import Mixture, MixtureHead
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.system.errors import UserError


def make(**settings: Any) -> MixtureHead:
    torch.manual_seed(0)
    head = Mixture(experts=4, **settings).head(6, nn.Embedding(11, 5), tied=True).double()
    assert isinstance(head, MixtureHead)
    return head


def test_a_mixture_is_the_weighted_sum_of_its_experts_probabilities() -> None:
    head, hidden, targets = make(), torch.randn(2, 3, 6).double().requires_grad_(), torch.randint(11, (2, 3))
    weights, expected = torch.softmax(head.prior(hidden), dim=-1), torch.zeros(2, 3, 11).double()
    for k in range(4):
        rows = slice(5 * k, 5 * (k + 1))
        z = torch.tanh(hidden @ head.latent.weight[rows].T + head.latent.bias[rows])
        scores = torch.exp(z @ head.decoder.weight.T + head.decoder.bias)
        expected = expected + weights[..., k, None] * scores / scores.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(head.logits(hidden).exp(), expected)
    torch.testing.assert_close(expected.sum(-1), torch.ones(2, 3).double())
    nats = -expected.gather(-1, targets.unsqueeze(-1)).squeeze(-1).log()
    torch.testing.assert_close(head.nll(hidden, targets), nats)
    leaves = [hidden, *head.parameters()]
    got = torch.autograd.grad(head.nll(hidden, targets).mean(), leaves)
    torch.testing.assert_close(got, torch.autograd.grad(nats.mean(), leaves))
    by_logits = nn.functional.cross_entropy(head.logits(hidden).flatten(0, 1), targets.flatten())
    torch.testing.assert_close(got, torch.autograd.grad(by_logits, leaves))


def test_extreme_scores_stay_finite() -> None:
    head, hidden = make().float(), torch.randn(3, 6)
    head.decoder.weight.data *= 1e4
    head.prior.weight.data *= 1e4
    nats = head.nll(hidden, torch.randint(11, (3,)))
    nats.sum().backward()
    assert torch.isfinite(nats).all()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def test_latent_units_are_dropped_for_a_window_whether_read_at_once_or_step_by_step() -> None:
    model = stacked(20, 8, 6, last_size=7, head=Mixture(3, latent_dropout=0.5)).double()
    tokens, state = torch.randint(20, (2, 5)), model.initial_state(2)
    hidden, _ = model(tokens, state)
    whole = model.head.logits(hidden)
    torch.testing.assert_close(whole[:, 3], model.head.logits(hidden[:, 3]))
    hidden, _ = model(tokens, state)
    assert not torch.equal(whole, model.head.logits(hidden))
    model.eval()
    torch.testing.assert_close(model.head.logits(hidden), model.head.logits(hidden))


def test_every_model_takes_it_tied_with_any_size_of_the_last_layer() -> None:
    for model in (
        stacked(20, 8, 6, last_size=7, head=Mixture(3)),
        RecurrentLanguageModel(20, 8, 6, tied=True, last_size=6, head=Mixture(3)),
    ):
        assert model.head.decoder.weight is model.embedding.weight
        hidden, _ = model(torch.randint(20, (2, 5)), model.initial_state(2))
        model.head.nll(hidden, torch.randint(20, (2, 5))).mean().backward()
        assert model.embedding.weight.grad is not None


def test_the_published_mixture_has_its_22_million_parameters() -> None:
    model = stacked(10_000, 280, 960, last_size=620, head=Mixture(15))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == 22


@pytest.mark.parametrize("settings", [{"experts": 0}, {"latent_dropout": 1.0}])
def test_what_makes_no_mixture_is_named(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"model\.head\.{next(iter(settings))}"):
        Mixture(**settings)
