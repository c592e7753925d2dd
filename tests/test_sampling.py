"""Samplers: the words they keep and draw, and that a batch is many sequences."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.sampling.generate import generate
from lm.sampling.sampler import Sampler
from lm.system.errors import UserError

VOCAB = Vocab([EOS, UNK, *map(str, range(2, 50))])
LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 0.0, 3.0, 0.0]])


@pytest.fixture
def model() -> RecurrentLanguageModel:
    torch.manual_seed(0)
    return RecurrentLanguageModel(50, 8, 16)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_multinomial_draws_from_the_softmax() -> None:
    draws = Sampler().draw(LOGITS[:1].expand(20_000, -1), seeded())
    shares = torch.bincount(draws, minlength=4) / 20_000
    torch.testing.assert_close(shares, LOGITS[0].softmax(-1), atol=0.015, rtol=0)


def test_top_k_and_top_p_by_hand() -> None:
    assert (Sampler(top_k=2).distribution(LOGITS)[0] > 0).tolist() == [True, True, False, False]
    # softmax of the first row: .644 .237 .087 .032
    assert (Sampler(top_p=0.6).distribution(LOGITS)[0] > 0).tolist() == [True, False, False, False]
    assert (Sampler(top_p=0.8).distribution(LOGITS)[0] > 0).tolist() == [True, True, False, False]
    assert (Sampler(top_p=1.0).distribution(LOGITS)[0] > 0).all()


def test_ties_do_not_let_more_than_k_words_through() -> None:
    assert (Sampler(top_k=2).distribution(torch.zeros(1, 6)) > 0).sum() == 2


def test_min_p_by_hand() -> None:
    # softmax of the first row: .644 .237 .087 .032; a third of .644 is .215
    assert (Sampler(min_p=1 / 3).distribution(LOGITS)[0] > 0).tolist() == [True, True, False, False]
    assert (Sampler(min_p=0.04).distribution(LOGITS)[0] > 0).tolist() == [True, True, True, True]


def test_the_repetition_penalty_lowers_only_words_in_the_text() -> None:
    seen = torch.tensor([[True, False, True, True], [False, False, False, False]])
    sampler = Sampler(repetition_penalty=2.0)
    known = LOGITS.log_softmax(dim=-1)
    expected = torch.where(seen, 2 * known, known)
    torch.testing.assert_close(sampler.penalised(LOGITS, seen), expected)
    # The same for a head that gives log-probabilities, or logits with any constant added.
    torch.testing.assert_close(sampler.penalised(known, seen), expected)
    torch.testing.assert_close(sampler.penalised(LOGITS + 7, seen), expected)


def test_a_strong_penalty_makes_greedy_text_that_never_repeats(model: RecurrentLanguageModel) -> None:
    plain = generate(model, Sampler(do_sample=False, max_new_tokens=30), VOCAB, [3])[0].tolist()
    strong = generate(model, Sampler(do_sample=False, max_new_tokens=30, repetition_penalty=1e4), VOCAB, [3])[
        0
    ].tolist()
    assert len(set(plain)) < len(plain)
    assert len(set(strong)) == len(strong)


def test_banned_words_are_never_drawn(model: RecurrentLanguageModel) -> None:
    model.head.linear.bias.data[1] = 9.0  # `<unk>` would be nearly everything
    usual = generate(model, Sampler(max_new_tokens=50), VOCAB, None, seeded())
    assert (usual == 1).float().mean() > 0.9
    for sampler in (Sampler(bad_words=[UNK, "7"], max_new_tokens=50), Sampler(do_sample=False, bad_words=[UNK])):
        assert not {1, 7} & set(generate(model, sampler, VOCAB, None, seeded())[0].tolist())
    with pytest.raises(UserError, match="'zebra' is not among"):
        generate(model, Sampler(bad_words=["zebra"]), VOCAB)
    with pytest.raises(UserError, match="every word"):
        generate(model, Sampler(bad_words=list(VOCAB.words)), VOCAB)


@given(st.floats(0.05, 5), st.integers(0, 6), st.floats(0.05, 1), st.floats(0, 1))
def test_the_most_probable_word_always_stays(temperature: float, top_k: int, top_p: float, min_p: float) -> None:
    kept = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p).distribution(LOGITS)
    assert (kept.argmax(-1) == LOGITS.argmax(-1)).all()
    assert torch.isfinite(kept).all()


@pytest.mark.parametrize("sampler", [{"temperature": 0.0}, {"temperature": 1e-6}, {"top_k": 1}, {"top_p": 1e-6}])
def test_the_limits_of_every_sampler_are_greedy(model: RecurrentLanguageModel, sampler: dict) -> None:
    greedy = generate(model, Sampler(do_sample=False, max_new_tokens=20), VOCAB, [3, 4])
    assert generate(model, Sampler(max_new_tokens=20, **sampler), VOCAB, [3, 4], seeded()).tolist() == greedy.tolist()


def test_greedy_is_the_plain_loop(model: RecurrentLanguageModel) -> None:
    model.eval()
    state, words, word = model.initial_state(1), [7, 8], torch.tensor([[0, 7, 8]])
    for _ in range(10):
        hidden, state = model(word, state)
        word = model.head.logits(hidden[:, -1:]).argmax(-1)
        words.append(word.item())
    assert generate(model, Sampler(do_sample=False, max_new_tokens=10), VOCAB, [7, 8]).tolist() == [words]


def test_a_prompt_stands_in_the_result_and_a_drawn_first_word_does_not(model: RecurrentLanguageModel) -> None:
    sampler = Sampler(max_new_tokens=5, num_return_sequences=3)
    assert generate(model, sampler, VOCAB, [9, 8], seeded())[:, :2].tolist() == [[9, 8]] * 3
    assert generate(model, sampler, VOCAB, None, seeded()).shape == (3, 5)
    assert generate(model, sampler, VOCAB, [], seeded()).shape == (3, 5)


def test_a_prompt_is_read_for_all_sequences_as_for_one(model: RecurrentLanguageModel) -> None:
    sampler = Sampler(do_sample=False, max_new_tokens=6)
    one = generate(model, sampler, VOCAB, [3, 4, 5])
    many = generate(model, replace(sampler, num_return_sequences=4), VOCAB, [3, 4, 5])
    assert many.tolist() == one.tolist() * 4


def test_what_is_drawn_can_be_trained_on(model: RecurrentLanguageModel) -> None:
    ids = generate(model, Sampler(max_new_tokens=5), VOCAB)
    hidden, _ = model(ids[:, :-1], model.initial_state(1))
    model.head.nll(hidden, ids[:, 1:]).mean().backward()
    assert model.embedding.weight.grad is not None


def test_a_seed_gives_the_same_words_and_sequences_differ(model: RecurrentLanguageModel) -> None:
    sampler = Sampler(max_new_tokens=20, num_return_sequences=2)
    first, second = (generate(model, sampler, VOCAB, None, seeded(5)).tolist() for _ in range(2))
    assert first == second
    assert first[0] != first[1]
    assert generate(model, sampler, VOCAB, None, seeded(6)).tolist() != first


def test_sampling_leaves_the_model_in_its_mode(model: RecurrentLanguageModel) -> None:
    model.train()
    generate(model, Sampler(max_new_tokens=2), VOCAB)
    assert model.training


@pytest.mark.parametrize(
    ("setting", "value"),
    [("temperature", -1.0), ("top_k", -1), ("top_p", 0.0), ("top_p", 1.1), ("max_new_tokens", 0),
     ("num_return_sequences", 0), ("min_p", 1.5), ("repetition_penalty", 0.0)],
)  # fmt: skip
def test_values_out_of_range_are_named(setting: str, value: float) -> None:
    with pytest.raises(UserError, match=f"sampler.{setting}"):
        Sampler(**{setting: value})


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"temperature": 1e-39}, "sampler.temperature=1e-39 is too small"),
        ({"temperature": 1e-39, "top_k": 3}, "sampler.temperature=1e-39 is too small"),
        ({"temperature": 1e39, "bad_words": [UNK]}, "sampler.temperature=1e\\+39 is too large"),
        ({"repetition_penalty": 1e40}, "sampler.repetition_penalty=1e\\+40 is too large"),
        ({"repetition_penalty": 1e40, "do_sample": False}, "sampler.repetition_penalty=1e\\+40 is too large"),
    ],
)
def test_a_setting_is_not_called_divergence(model: RecurrentLanguageModel, settings: dict, cause: str) -> None:
    model.head.linear.bias.data[3] = 9
    with pytest.raises(UserError, match=cause) as said:
        generate(model, Sampler(**{"max_new_tokens": 500} | settings), VOCAB, None, seeded())
    assert "diverged" not in str(said.value)


@pytest.mark.parametrize("settings", [{}, {"do_sample": False}, {"repetition_penalty": 2.0}, {"temperature": 0.5}])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_are_the_models_fault(
    model: RecurrentLanguageModel, settings: dict, value: float
) -> None:
    model.head.linear.bias.data[4] = value
    with pytest.raises(UserError, match="the model's logits are not finite"):
        generate(model, Sampler(**settings), VOCAB, None, seeded())
