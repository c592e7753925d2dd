"""Nats and perplexity against known answers; distances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lm.evaluation import FreeRunning, Score, Static, evaluate, perplexity
from lm.evaluation.word_distances import distance, neighbours, spread
from lm.models.recurrent_language_model import RecurrentLanguageModel

UNK = 7  # the id of <unk>


@pytest.fixture
def model() -> RecurrentLanguageModel:
    torch.manual_seed(0)
    return RecurrentLanguageModel(40, 8, 16, num_layers=2, dropout=0.5).train()


def nats(model: RecurrentLanguageModel, ids: np.ndarray, window: int) -> torch.Tensor:
    return evaluate(Static(window), model, ids, UNK)[1].nats


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(model: RecurrentLanguageModel) -> None:
    for parameter in model.head.parameters():
        parameter.data.zero_()
    score, scored = evaluate(Static(), model, np.arange(2000) % 40, UNK)
    assert scored.words.tolist() == (np.arange(1, 2000) % 40).tolist()
    assert score.tokens == 1999
    assert score.perplexity == pytest.approx(40, rel=1e-6)


@given(st.integers(1, 70))
def test_perplexity_does_not_depend_on_the_window(window: int) -> None:
    torch.manual_seed(0)
    model = RecurrentLanguageModel(40, 8, 16)
    ids = np.random.default_rng(0).integers(0, 40, 60)
    torch.testing.assert_close(nats(model, ids, window), nats(model, ids, 60), atol=1e-5, rtol=0)


def test_evaluation_is_without_dropout_and_leaves_the_model_in_its_mode(model: RecurrentLanguageModel) -> None:
    ids = np.arange(100) % 40
    torch.testing.assert_close(nats(model, ids, 10), nats(model, ids, 10))
    assert model.training
    with Static(10).scoring(model, ids) as parts:
        next(parts)
        assert not torch.is_inference_mode_enabled()


def test_no_token_is_scored_with_knowledge_of_a_later_one(model: RecurrentLanguageModel) -> None:
    ids = np.arange(100) % 40
    changed = ids.copy()
    changed[60:] = 3
    torch.testing.assert_close(nats(model, ids, 16)[:59], nats(model, changed, 16)[:59], atol=0, rtol=0)


def test_perplexity_is_that_of_the_whole_not_a_mean_of_parts() -> None:
    score = Score(UNK)
    score.add(torch.tensor([[1, 2, 3]]), torch.tensor([[1.0, 2.0, 3.0]]))
    score.add(torch.tensor([4]), torch.tensor([6.0]))
    assert score.perplexity == score.perplexity_known == pytest.approx(math.exp(12 / 4))
    assert perplexity(1e6) == math.inf
    assert math.isnan(Score(UNK).perplexity)


def test_unknown_tokens_are_counted_and_can_be_left_out_of_the_perplexity() -> None:
    score = Score(UNK)
    score.add(torch.tensor([[1, UNK], [UNK, 2]]), torch.tensor([[4.0, 0.5], [0.1, 6.0]]))
    assert (score.tokens, score.unknown) == (4, 2)
    assert score.perplexity_known == pytest.approx(math.exp(5))
    score = Score(UNK)
    score.add(torch.tensor([UNK]), torch.tensor([0.1]))
    assert math.isnan(score.perplexity_known)


def test_distances_by_hand() -> None:
    found = distance(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0]))
    assert found == pytest.approx((5.0, 1.0))
    assert distance(torch.tensor([1.0, 1.0]), torch.tensor([-2.0, -2.0])).cosine == pytest.approx(2.0)


def test_neighbours_are_ordered_and_leave_the_word_itself_out() -> None:
    embedding = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [2.0, 1.0]])
    assert [word for word, _ in neighbours(embedding, 0, 9)] == [1, 3, 2]


def test_free_running_is_a_plain_loop_over_the_models_own_words(model: RecurrentLanguageModel) -> None:
    ids = np.random.default_rng(0).integers(0, 40, 53)
    score, scored = evaluate(FreeRunning(window=5, streams=2), model, ids, UNK)
    model.eval()
    expected = []
    for stream in torch.from_numpy(ids[:52]).view(2, 26):
        state, own = model.initial_state(1), stream[:1]
        for t in range(25):
            word = stream[t : t + 1] if t % 5 == 0 else own
            hidden, state = model(word.view(1, 1), state)
            log = model.head.logits(hidden[0, 0]).log_softmax(-1)
            expected.append(-log[stream[t + 1]].item())
            own = log.argmax(-1, keepdim=True)
    by_window = torch.tensor(expected).view(2, 5, 5).transpose(0, 1)  # the loop above is stream by stream
    torch.testing.assert_close(scored.nats.view(5, 2, 5), by_window, atol=1e-5, rtol=0)
    words = torch.from_numpy(ids[:52]).view(2, 26)[:, 1:].view(2, 5, 5).transpose(0, 1)
    assert scored.words.tolist() == words.flatten().tolist()
    assert score.tokens == 50


def test_free_running_with_windows_of_one_word_is_teacher_forcing(model: RecurrentLanguageModel) -> None:
    ids = np.random.default_rng(0).integers(0, 40, 30)
    free, truth = (evaluate(evaluator, model, ids, UNK)[0] for evaluator in (FreeRunning(1, 1), Static()))
    assert free.tokens == truth.tokens
    assert free.nats == pytest.approx(truth.nats, rel=1e-5)
    assert evaluate(FreeRunning(5, 1), model, ids, UNK)[0].nats != pytest.approx(truth.nats, rel=1e-5)
    assert evaluate(FreeRunning(5, 1, limit=2), model, ids, UNK)[0].tokens == 10


def test_untrained_distances_are_those_of_normal_vectors() -> None:
    torch.manual_seed(0)
    found = spread(torch.randn(1000, 128))
    assert found.euclidean == pytest.approx((16, 1), rel=0.05)
    assert found.cosine[0] == pytest.approx(1, abs=0.01)
    assert found.cosine[1] == pytest.approx(1 / math.sqrt(128), rel=0.1)
