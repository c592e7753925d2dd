"""Hidden sizes by a number of weights: the largest model within it, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lm.models.cells import GRU, LSTM, QRNN, RNN, SLSTM, MinGRU, MinLSTM, Mogrifier
from lm.models.interfaces import LanguageModel
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.models.transformer_language_model import TransformerLanguageModel
from lm.models.weight_budget import largest
from lm.system.errors import UserError

N = 30_000
MODELS: list[tuple[type[LanguageModel], dict[str, Any], int]] = [
    *(
        (RecurrentLanguageModel, {"cell": cell}, 1)
        for cell in (LSTM(), GRU(), RNN(), Mogrifier(rank=3), QRNN(), MinGRU(), MinLSTM(), SLSTM())
    ),
    (RecurrentLanguageModel, {"num_layers": 3, "tied": True}, 1),
    (TransformerLanguageModel, {"heads": 3, "tied": True}, 6),
    (TransformerLanguageModel, {"heads": 2, "tied": False, "num_layers": 1}, 4),
]


@pytest.mark.parametrize(("kind", "settings", "multiple"), MODELS, ids=str)
def test_the_largest_model_within_a_number_of_weights(kind: Any, settings: dict[str, Any], multiple: int) -> None:
    torch.manual_seed(0)
    found = kind(100, 16, hidden_size=None, weights=N, **settings)
    after = torch.rand(1)
    size = found.hidden_size if kind is TransformerLanguageModel else found.layers[0].hidden_size
    assert found.parameter_count <= N
    assert kind(100, 16, size + multiple, **settings).parameter_count > N
    torch.manual_seed(0)
    given = kind(100, 16, size, **settings)
    torch.testing.assert_close(found.state_dict(), given.state_dict(), rtol=0, atol=0)  # the search drew nothing
    assert torch.equal(after, torch.rand(1))
    assert {weight.device.type for weight in found.parameters()} == {"cpu"}


@pytest.mark.parametrize("size", [2, 32, 37])
def test_a_number_of_weights_is_met_exactly_where_it_can_be(size: int) -> None:
    exactly = RecurrentLanguageModel(100, 16, size).parameter_count
    for weights, found in ((exactly, size), (exactly - 1, size - 1), (exactly + 1, size)):
        model = RecurrentLanguageModel(100, 16, hidden_size=None, weights=weights)
        assert model.layers[0].hidden_size == found


@pytest.mark.parametrize("kind", [RecurrentLanguageModel, TransformerLanguageModel])
def test_what_makes_no_budget_is_named(kind: Any) -> None:
    with pytest.raises(UserError, match=r"set one of model\.hidden_size and model\.weights, .* got both"):
        kind(100, 16, 16, weights=N)
    with pytest.raises(UserError, match=r"set one of model\.hidden_size and model\.weights, .* got neither"):
        kind(100, 16, None)
    with pytest.raises(UserError, match=r"model\.weights=1,000 is fewer than the smallest such model has, \d"):
        kind(100, 16, hidden_size=None, weights=1000)
    with pytest.raises(UserError, match=r"model\.weights must be at least 1"):
        kind(100, 16, hidden_size=None, weights=0)


def test_a_size_that_changes_no_weights_is_not_sought_for_ever() -> None:
    for settings in ({"tied": True}, {"last_size": 16}):
        with pytest.raises(UserError, match=r"model\.hidden_size"):
            RecurrentLanguageModel(100, 16, hidden_size=None, weights=N, **settings)
    with pytest.raises(UserError, match=r"model\.hidden_size does not change the number of weights"):
        largest(10, lambda size: 7, multiple=1, embedding_size=16)


def test_a_transformer_of_equal_sizes_has_fewer_weights_and_is_found() -> None:
    model = TransformerLanguageModel(50, 264, num_layers=1, hidden_size=None, weights=900_000)
    assert (model.hidden_size, model.parameter_count) == (264, 853_562)


def test_a_subclass_may_have_settings_of_its_own() -> None:
    class Small(RecurrentLanguageModel):
        def __init__(self, vocab_size: int) -> None:
            super().__init__(vocab_size, 16, hidden_size=None, weights=N)

    assert Small(100).parameter_count <= N
