"""Beam search: exhaustive search on a tiny vocabulary, a plain loop on a larger one, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest
import torch

from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.sampling.beam_search import beam_search, best_score, reordered
from lm.sampling.generate import generate, texts
from lm.sampling.sampler import Sampler
from lm.system.errors import UserError

END = 1
SMALL = Vocab([UNK, EOS, "a", "b", "c"])
LARGE = Vocab([UNK, EOS, *map(str, range(10))])
MOST = 4
EVERY = 4**2 * 5
"""Beams enough for the EVERY best hypotheses of four of five words: more beginnings than there are before the last."""


def peaked(vocab: Vocab, seed: int, scale: float = 4.0) -> RecurrentLanguageModel:
    """A model whose words depend much on all words before: its weights are large."""
    torch.manual_seed(seed)
    model = RecurrentLanguageModel(len(vocab), 6, 8, num_layers=2).eval()
    for weight in model.parameters():
        weight.data *= scale
    return model


def beams(width: int, **settings: Any) -> Sampler:
    return Sampler(**{"do_sample": False, "num_beams": width, "max_new_tokens": MOST} | settings)


@torch.no_grad()
def nats(model: RecurrentLanguageModel, read: Sequence[int], new: Sequence[int], penalty: float = 1.0) -> float:
    """The log-probability of new words after words that were read, of which the first is not part of the text."""
    words = [*read, *new]
    hidden, _ = model(torch.tensor([words[:-1]]), model.initial_state(1))
    logs = model.head.logits(hidden[0]).log_softmax(dim=-1).double()
    return sum(
        logs[at - 1, words[at]].item() * (penalty if words[at] in words[1:at] else 1)
        for at in range(len(read), len(words))
    )


def score(model: RecurrentLanguageModel, read: Sequence[int], new: Sequence[int], sampler: Sampler) -> float:
    return nats(model, read, new, sampler.repetition_penalty) / len(new) ** sampler.length_penalty


def hypotheses(words: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    inner = [word for word in words if word != END]
    for length in range(1, most + 1):
        last = words if length == most else [END] if END in words else []
        yield from ((*start, word) for start in product(inner, repeat=length - 1) for word in last)


def cut(row: Sequence[int]) -> list[int]:
    """A row without what fills it up; it keeps the `<eos>` at which it ended."""
    row = list(row)
    return row[: row.index(END) + 1] if END in row else row


@torch.no_grad()
def plain(model: RecurrentLanguageModel, read: list[int], sampler: Sampler) -> list[list[int]]:
    """Beam search as a plain loop: each beam is read again from its first word, and the search never stops early."""
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    finished = []
    for length in range(1, sampler.max_new_tokens + 1):
        candidates = []
        for total, new in live:
            hidden, _ = model(torch.tensor([[*read, *new]]), model.initial_state(1))
            logs = model.head.logits(hidden[0, -1]).log_softmax(dim=-1).tolist()
            candidates += [(total + log, [*new, word]) for word, log in enumerate(logs)]
        ranked = sorted(candidates, reverse=True)
        for total, new in ranked[: sampler.num_beams]:
            if new[-1] == END or length == sampler.max_new_tokens:
                finished.append((total / length**sampler.length_penalty, new))
        live = [one for one in ranked if one[1][-1] != END][: sampler.num_beams]
    return [new for _, new in sorted(finished, reverse=True)[: sampler.num_return_sequences]]


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_enough_beams_are_exhaustive_search(seed: int, length_penalty: float) -> None:
    model, sampler = peaked(SMALL, seed), beams(EVERY, num_return_sequences=EVERY, length_penalty=length_penalty)
    read = [END, 2, 4]
    every = {new: score(model, read, new, sampler) for new in hypotheses(range(5), MOST)}
    assert len(every) == 1 + 4 + 4**2 + 4**3 * 5
    best = sorted(every, key=every.__getitem__, reverse=True)[:EVERY]
    rows = generate(model, sampler, SMALL, read[1:])
    assert rows.shape == (EVERY, len(read[1:]) + MOST)
    assert rows[:, :2].tolist() == [read[1:]] * EVERY
    found = [tuple(cut(row)) for row in rows[:, 2:].tolist()]
    assert len(set(found)) == EVERY
    assert found[0] == best[0]
    # By score, not by word: hypotheses of nearly equal scores may change places with rounding.
    assert [every[new] for new in found] == pytest.approx([every[new] for new in best], abs=1e-4)


def test_the_tiny_models_have_short_and_long_best_texts_of_different_words() -> None:
    """Else the test above would show little."""
    found = [
        cut(generate(peaked(SMALL, seed), beams(EVERY, length_penalty=power), SMALL, [2, 4])[0, 2:].tolist())
        for seed in range(5)
        for power in (0.0, 2.0)
    ]
    assert {1, MOST} <= {len(new) for new in found}
    assert len({tuple(new) for new in found}) > 4


@pytest.mark.parametrize("settings", [{"bad_words": ["b"]}, {"bad_words": [EOS, UNK]}, {"repetition_penalty": 1.7}])
@pytest.mark.parametrize("seed", range(3))
def test_banned_words_and_the_repetition_penalty_are_those_of_exhaustive_search(seed: int, settings: dict) -> None:
    model, sampler, read = peaked(SMALL, seed, 2.0), beams(EVERY, **settings), [END, 3, 3]
    allowed = [word for word in range(5) if word not in sampler.banned(SMALL)]
    best = max(hypotheses(allowed, MOST), key=lambda new: score(model, read, new, sampler))
    assert cut(generate(model, sampler, SMALL, read[1:])[0, 2:].tolist()) == list(best)


@pytest.mark.parametrize("width", [2, 3, 6])
@pytest.mark.parametrize("length_penalty", [-2.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("count", [1, 2])
def test_few_beams_are_the_plain_loop_which_never_stops_early(width: int, length_penalty: float, count: int) -> None:
    for seed in range(10):
        model, read = peaked(LARGE, seed, 3.0), [END, 7, 3]
        model.head.linear.bias.data[END] += seed / 2  # lines that end rarely, and often
        sampler = beams(width, num_return_sequences=count, length_penalty=length_penalty, max_new_tokens=10)
        rows = generate(model, sampler, LARGE, read[1:])
        assert [cut(row) for row in rows[:, 2:].tolist()] == plain(model, read, sampler)


def test_exact_search_is_never_worse_than_fewer_beams() -> None:
    # Between two numbers of beams that are both too few, the larger can be the worse.
    for seed in range(5):
        model, scores = peaked(SMALL, seed), []
        for width in (2, 3, 5, 10, EVERY):
            sampler = beams(width)
            scores.append(score(model, [END, 2], cut(generate(model, sampler, SMALL, [2])[0, 1:].tolist()), sampler))
        assert max(scores) == pytest.approx(scores[-1])


def test_one_beam_is_greedy_up_to_the_end_of_the_line() -> None:
    lengths = set()
    for seed in range(8):
        model = peaked(LARGE, seed)
        greedy = generate(model, Sampler(do_sample=False, max_new_tokens=12), LARGE, [])[0].tolist()
        with torch.no_grad():
            sampler, prompt = beams(1, length_penalty=0, max_new_tokens=12), torch.zeros(1, 0, dtype=torch.long)
            row = beam_search(model, sampler, [], END, torch.tensor([END]), model.initial_state(1), prompt)[0]
        assert cut(row.tolist()) == cut(greedy)
        lengths.add(len(cut(greedy)))
    assert min(lengths) < 12 == max(lengths)


def test_one_beam_is_a_sampler_as_before_whose_text_continues_after_the_end_of_a_line() -> None:
    model = peaked(LARGE, 0)
    model.head.linear.bias.data[END] = 50.0
    assert generate(model, beams(1), LARGE, [3]).tolist() == [[3, *[END] * MOST]]


def test_fewer_sequences_are_the_first_of_more() -> None:
    model, scores = peaked(LARGE, 1), []
    rows = generate(model, beams(6, num_return_sequences=6, max_new_tokens=9), LARGE, [4])
    for count in range(1, 6):
        fewer = generate(model, beams(6, num_return_sequences=count, max_new_tokens=9), LARGE, [4])
        assert torch.equal(fewer, rows[:count])
    scores = [score(model, [END, 4], cut(row), beams(6)) for row in rows[:, 1:].tolist()]
    assert scores == sorted(scores, reverse=True)


def test_without_a_prompt_all_beams_follow_one_drawn_word() -> None:
    model, sampler = peaked(SMALL, 2), beams(EVERY, num_return_sequences=2)
    for seed in range(4):
        used, once = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
        rows = generate(model, sampler, SMALL, None, used)
        first = torch.randint(5, (1,), generator=once).item()
        assert torch.equal(used.get_state(), once.get_state())
        ranked = sorted(hypotheses(range(5), MOST), key=lambda new: -score(model, [first], new, sampler))
        assert [tuple(cut(row)) for row in rows.tolist()] == ranked[:2]


def test_a_row_is_filled_up_with_the_end_and_a_text_ends_before_it() -> None:
    model, sampler = peaked(SMALL, 3), beams(EVERY, num_return_sequences=EVERY)
    model.head.linear.bias.data[END] += 3
    prompt = SMALL.encode("a b\nc\n")
    rows = generate(model, sampler, SMALL, prompt)[:, len(prompt) :].tolist()
    assert all(set(row[row.index(END) :]) == {END} for row in rows if END in row)
    assert any(row[0] == END for row in rows)
    for row, text in zip(rows, texts(model, sampler, SMALL, 0, prompt), strict=True):
        assert text == "a b\nc\n" + " ".join(SMALL.words[word] for word in row if word != END)
    assert all("\n" not in text for text in texts(model, sampler, SMALL, 0))


def test_drawn_texts_with_a_prompt_are_those_of_generate() -> None:
    model, sampler = peaked(LARGE, 3, 1.0), Sampler(num_return_sequences=2)
    rows = generate(model, sampler, LARGE, [3, 4], torch.Generator().manual_seed(5)).tolist()
    assert texts(model, sampler, LARGE, 5, iter([3, 4])) == [LARGE.decode(row) for row in rows]


def test_fewer_hypotheses_are_fewer_rows() -> None:
    model = peaked(SMALL, 0)
    assert len(generate(model, beams(20, num_return_sequences=20, max_new_tokens=1), SMALL, [2])) == 5
    only_end = beams(20, num_return_sequences=3, bad_words=[UNK, "a", "b", "c"])
    assert generate(model, only_end, SMALL, [2]).tolist() == [[2, *[END] * MOST]]


def test_banned_words_never_appear_however_probable() -> None:
    model = peaked(LARGE, 0)
    model.head.linear.bias.data[[0, END]] = 50.0
    rows = generate(model, beams(5, num_return_sequences=5, bad_words=[UNK, EOS], max_new_tokens=20), LARGE, [3])
    assert rows.shape == (5, 21)
    assert not {0, END} & set(rows.flatten().tolist())


def test_a_strong_repetition_penalty_keeps_words_from_coming_again() -> None:
    sampler = beams(4, repetition_penalty=1e4, max_new_tokens=8, bad_words=[EOS])
    row = generate(peaked(LARGE, 0), sampler, LARGE, [3])[0].tolist()
    assert len(set(row)) == len(row) == 9


def test_a_state_is_reordered_by_beams() -> None:
    h, c, other = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 2)
    rows = torch.tensor([2, 0, 0, 1])
    first, second = reordered([(h, c), (other,)], rows)
    assert torch.equal(first[0], torch.stack([h[2], h[0], h[0], h[1]]))
    assert torch.equal(first[1], c[rows])
    assert torch.equal(second[0], other[rows])


@pytest.mark.parametrize("length_penalty", [-2.0, 0.0, 0.5, 2.0])
def test_the_search_stops_only_below_every_score_that_a_beam_can_have(length_penalty: float) -> None:
    total, lengths = torch.tensor(-3.0), range(4, 11)
    later = [total / length**length_penalty for length in lengths]  # the most probable: all further words for certain
    assert best_score(total, 4, 10, length_penalty) == max(later)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"do_sample": True}, "sampler.num_beams=3: .*choose sampler=beam"),
        ({"temperature": 0.5}, "sampler.temperature=0.5 is for drawing words.* leave it at 1.0"),
        ({"temperature": 0.0}, "sampler.temperature=0.0 is for drawing words"),
        ({"top_k": 4}, "sampler.top_k=4 is for drawing words.* leave it at 0"),
        ({"top_p": 0.9}, "sampler.top_p=0.9 is for drawing words.* leave it at 1.0"),
        ({"min_p": 0.1}, "sampler.min_p=0.1 is for drawing words.* leave it at 0.0"),
        ({"num_return_sequences": 4}, "sampler.num_return_sequences=4 must be at most sampler.num_beams=3"),
        ({"width": 0}, "sampler.num_beams must be at least 1; got 0"),
        ({"length_penalty": 400.0}, "sampler.length_penalty must be between -10 and 10; got 400"),
    ],
)
def test_what_beam_search_cannot_follow_is_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        beams(**{"width": 3} | settings)


@pytest.mark.parametrize("settings", [{}, {"repetition_penalty": 2.0}])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_are_the_models_fault(settings: dict, value: float) -> None:
    model = peaked(SMALL, 0)
    model.head.linear.bias.data[3] = value
    with pytest.raises(UserError, match="the model's logits are not finite"):
        generate(model, beams(3, **settings), SMALL, [2])


def test_a_huge_repetition_penalty_keeps_the_sums_finite() -> None:
    sampler = beams(3, repetition_penalty=1e40, max_new_tokens=50, bad_words=[EOS])  # each of 4 words comes often
    row = generate(peaked(SMALL, 0), sampler, SMALL, [2])[0, 1:].tolist()
    assert len(row) == 50
    assert END not in row


def test_a_model_that_gives_no_allowed_word_a_probability_is_refused() -> None:
    model = peaked(SMALL, 0)
    model.head.linear.bias.data[2:] = -torch.inf
    with pytest.raises(UserError, match="the model's logits are not finite"):
        generate(model, beams(3, bad_words=[UNK, EOS]), SMALL, [2])
