"""Initial weights from the frequencies of words and their neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, Run, stacked
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lm.models.heads.adaptive import Adaptive
from lm.models.initial.cooccurrence import neighbours, word_vectors
from lm.models.initial.from_text import Cooccurrence, Unigram
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.system.errors import UserError

TEXT = np.array([0, 1, 2, 0, 1, 3, 0, 4, 2, 2, 1, 0, 3, 1, 4, 4, 0, 1, 2])
WORDS = 6  # number 5 is not in the text


def model(**changed: object) -> RecurrentLanguageModel:
    torch.manual_seed(0)
    return stacked(WORDS, **{"embedding_size": 4, "hidden_size": 5, "num_layers": 2, **changed})  # type: ignore[arg-type]


def naive_information(ids: list[int], distance: int, after: bool) -> np.ndarray:
    """Positive pointwise mutual information of words (rows) and those at one distance (columns), pair by pair."""
    pairs = [
        (ids[t], ids[t - distance]) if not after else (ids[t - distance], ids[t]) for t in range(distance, len(ids))
    ]
    smoothed = {b: sum(y == b for _, y in pairs) ** 0.75 for b in range(WORDS)}
    table = np.zeros((WORDS, WORDS))
    for a in range(WORDS):
        for b in range(WORDS):
            both, alone = pairs.count((a, b)), sum(x == a for x, _ in pairs)
            if both:
                share = smoothed[b] / sum(smoothed.values())
                table[a, b] = max(0.0, math.log(both / alone / share))
    return table


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, WORDS - 1), min_size=4, max_size=40), st.integers(1, 3))
def test_neighbours_are_those_counted_pair_by_pair(ids: list[int], reach: int) -> None:
    expected = [
        naive_information(ids, distance, after) / distance
        for distance in range(1, reach + 1)
        for after in (False, True)
    ]
    np.testing.assert_allclose(neighbours(np.array(ids), WORDS, reach).toarray(), np.hstack(expected), atol=1e-12)


@pytest.mark.parametrize("size", [2, 5, 9])
def test_vectors_are_the_best_of_their_size(size: int) -> None:
    left, values, _ = np.linalg.svd(neighbours(TEXT, WORDS, 2).toarray(), full_matrices=False)
    kept = min(size, WORDS - 1)
    expected = (left[:, :kept] * values[:kept]) @ left[:, :kept].T  # free of the signs and the order of columns
    found = word_vectors(TEXT, WORDS, size, 2)
    assert found.shape == (WORDS, size)
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-8)


@pytest.mark.parametrize("init", [Unigram(), Cooccurrence()])
def test_a_model_that_hears_nothing_says_how_frequent_words_are(init: Unigram) -> None:
    made = model()
    init.apply(made, TEXT)
    said = made.head.logits(torch.zeros(4)).softmax(-1)
    counts = np.bincount(TEXT, minlength=WORDS) + 0.5
    torch.testing.assert_close(said, torch.from_numpy(counts / counts.sum()).float())


def test_words_alike_in_their_neighbours_start_alike_and_unknown_ones_at_random() -> None:
    made, drawn = model(), model().embedding.weight.detach().clone()
    Cooccurrence(scale=0.2).apply(made, TEXT)
    weight = made.embedding.weight.detach()
    torch.testing.assert_close(weight[5], drawn[5])
    torch.testing.assert_close(weight[:5].square().mean(1).sqrt(), torch.full((5,), 0.2))
    vectors = torch.from_numpy(word_vectors(TEXT, WORDS, 4, 2)).float()
    vectors = vectors - vectors[:5].mean(0)
    torch.testing.assert_close(  # turned and scaled, no angle changed
        nn.functional.cosine_similarity(weight[:5, None], weight[None, :5], dim=-1),
        nn.functional.cosine_similarity(vectors[:5, None], vectors[None, :5], dim=-1),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.slow
def test_a_run_starts_from_it_and_one_that_goes_on_does_not(
    train: Callable[..., Run], text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm.runs.run_folder import INITIAL
    from lm.runs.trained import load

    typed = ["data=text", f"data.train={text_file}", "init=cooccurrence", "init.scale=0.3", *TINY]
    run = train(*typed)
    first = torch.load(run.dir / INITIAL, weights_only=True)["embedding"]
    assert float(first.square().mean(1).sqrt().median()) == pytest.approx(0.3, rel=1e-4)
    torch.testing.assert_close(load(run.dir).untrained().embedding.weight.detach(), first)  # as distance.py shows it
    with monkeypatch.context() as patched:
        patched.setattr(Cooccurrence, "apply", lambda *_: pytest.fail("what a checkpoint holds is counted again"))
        again = train(f"checkpoint={run.dir}", "trainer.max_epochs=2", name="again")
    longer = train(*typed, "trainer.max_epochs=2", name="longer")
    assert again.result["test"]["perplexity"] == longer.result["test"]["perplexity"]


def test_mistakes_get_a_sentence() -> None:
    with pytest.raises(UserError, match=r"init.reach must be at least 1"):
        Cooccurrence(reach=0)
    with pytest.raises(UserError, match=r"init.scale must be above 0"):
        Cooccurrence(scale=0.0)
    with pytest.raises(UserError, match="longer training text than 2 words"):
        Cooccurrence(reach=2).apply(model(), TEXT[:2])
    with pytest.raises(UserError, match=r"model.head has none"):
        Unigram().apply(model(tied=False, head=Adaptive(cutoffs=[2], div_value=2.0)), TEXT)


def test_weights_from_another_run_leave_nothing_to_set(train: Callable[..., Run], text_file: Path) -> None:
    with pytest.raises(UserError, match="init=random"):
        train("data=text", f"data.train={text_file}", "init=unigram", "weights_from=somewhere", *TINY)
