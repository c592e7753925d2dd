"""The statistics, the n-gram judge and the sentences of reports, against known answers."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lm.data.tokenisers import Whitespace
from lm.data.vocabulary import Vocab
from lm.studies.comparison import sentences, sentences_words, vectors
from lm.studies.comparison.curves import LearningCurve, convergence, levels
from lm.studies.comparison.differences import (
    ALL_PAIRS,
    Difference,
    DistanceDifference,
    _of_one_text,
    differences,
    different_text,
    of_distances,
    pick,
)
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.group_figures import Perplexity, group_figures
from lm.studies.comparison.group_samples import group_samples
from lm.studies.comparison.groups import Group, grouped
from lm.studies.comparison.json_form import json_form
from lm.studies.comparison.measuring import Known, Refused
from lm.studies.comparison.ngram import TrigramModel
from lm.studies.comparison.quality import (
    AtTemperature,
    Loop,
    Quality,
    SampleQuality,
    against_real,
    distinct,
    loop,
    pieces,
    quality,
)
from lm.studies.comparison.ranking import ranking
from lm.studies.comparison.reading import LeftOut, Run
from lm.studies.comparison.related import RELATED, closer, measure_related, unrelated_words
from lm.studies.comparison.run_figures import RunFigures, run_figures
from lm.studies.comparison.sections import ranking as ranking_section
from lm.studies.comparison.sections import short, words
from lm.studies.comparison.settings import Settings
from lm.studies.comparison.statistics import Interval, between_means, between_seeds, over_seeds, paired_bootstrap
from lm.studies.comparison.texts import Text
from lm.studies.comparison.tuned import tuned
from lm.studies.comparison.vectors import KINDS, Displacement, Embeddings, PairDistance, Spread, Spreads

NOTHING = Figures(Settings(), [], [], None, [], [], [], {}, *[[]] * 9)
"""The figures of a report without runs."""


def test_equal_runs_show_no_difference_and_a_shifted_copy_shows_one() -> None:
    nats = np.random.default_rng(0).exponential(5, 20_000)
    assert paired_bootstrap(nats, nats)[:3] == (0, 0, 0)
    assert not paired_bootstrap(nats, nats).excludes(0)
    shifted = paired_bootstrap(nats, nats + 0.01)
    assert shifted[:3] == pytest.approx((0.01, 0.01, 0.01))
    assert shifted.excludes(0)


def test_the_bootstrap_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    """Noise correlated over neighbouring tokens, as in a text: hard tokens are near one another."""
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        noise = np.convolve(generator.normal(0, 1, 8009), np.ones(10) / 10, "valid")
        found = paired_bootstrap(np.zeros(8000), 0.05 + noise, confidence=0.9, resamples=400)
        covered += not found.excludes(0.05)
    assert 0.83 <= covered / 200 <= 0.96  # 0.9, give or take three standard errors


def test_too_little_text_has_no_interval() -> None:
    found = paired_bootstrap(np.zeros(10), np.ones(10))
    assert (found.mean, found.low, found.high) == (1, None, None)


def test_students_interval_is_the_one_of_the_tables() -> None:
    found = over_seeds([1.0, 2.0, 3.0])  # t(0.975, 2) = 4.3027, standard error 1 / sqrt(3)
    assert found[:3] == pytest.approx((2, 2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), abs=1e-3)
    assert over_seeds([1.0]) == (1.0, None, None, 1)
    assert over_seeds([1.0, 1.0]) == (1.0, 1.0, 1.0, 2)


def test_tukeys_intervals_are_those_of_scipy() -> None:
    groups = [[1.0, 1.1, 0.9], [2.0, 2.1, 1.9, 2.2], [1.0, 1.2, 1.3]]
    found, known = between_seeds(groups, 0.9), stats.tukey_hsd(*groups).confidence_interval(0.9)
    for (i, j), part in found.items():
        assert (part.low, part.high) == pytest.approx((known.low[j, i], known.high[j, i]))
    assert found[0, 1].excludes(0)
    assert not found[0, 2].excludes(0)


@pytest.mark.parametrize(
    "groups",
    [
        [[1.0, 1.1, 0.9], [2.0, 2.4, 1.9], [1.0, 1.2, 1.3]],
        [[1.0, 1.1, 0.9], [2.0, 2.1, 1.9, 2.2], [1.0, 1.2]],
        [[1.0, 1.1, 0.9], [5.0], [2.0, 2.1, 1.9, 2.2], [1.0, 1.2]],
        [[3.0], [1.0, 1.1], [1.5, 1.9, 1.6]],
    ],
    ids=["equal sizes", "unequal sizes", "one of a single value", "two beside a single value"],
)
def test_the_intervals_over_seeds_are_those_of_the_formulas(groups: list[list[float]]) -> None:
    several = [values for values in groups if len(values) > 1]
    freedom = sum(map(len, several)) - len(several)
    pooled = sum(float(np.var(values)) * len(values) for values in several) / freedom
    reach = stats.studentized_range.ppf(0.9, len(several), freedom) * math.sqrt(pooled / 2)
    for (i, j), part in between_seeds(groups, 0.9).items():
        a, b = groups[i], groups[j]
        half, difference = reach * math.sqrt(1 / len(a) + 1 / len(b)), np.mean(b) - np.mean(a)
        single = min(len(a), len(b)) == 1
        ends = (None, None) if single else pytest.approx((difference - half, difference + half), abs=1e-9, rel=0)
        assert part.mean == pytest.approx(difference, abs=1e-9)
        assert (part.low, part.high) == ends
    for values in several:
        half = stats.t.ppf(0.95, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
        known = np.mean(values), np.mean(values) - half, np.mean(values) + half
        assert over_seeds(values, 0.9)[:3] == pytest.approx(known, abs=1e-9, rel=0)


def test_a_seed_without_a_finite_figure_leaves_the_others_their_interval() -> None:
    found = between_seeds([[1.0, 1.1], [2.0, math.inf], [1.5, 1.4]])
    assert found[0, 1].low is None
    assert found[0, 2].excludes(0)


def test_equal_seeds_and_single_ones_show_no_difference() -> None:
    assert between_seeds([[1.0, 1.0], [1.0, 1.0]])[0, 1][:3] == (0, 0, 0)
    assert between_seeds([[1.0], [2.0, 3.0]])[0, 1][:3] == (1.5, None, None)
    assert between_seeds([[1.0], [2.0]])[0, 1][:3] == (1, None, None)
    assert not between_seeds([[1.0, 2.0, 3.0], [1.5, 2.5, 2.2]])[0, 1].excludes(0)


@given(st.integers(0, 2), st.integers(0, 2))
def test_a_difference_the_other_way_round_is_its_negative(i: int, j: int) -> None:
    found = between_seeds([[1.0, 1.1], [2.0, 2.1], [4.0, 1.2]])
    if i != j:
        there, back = pick(found, i, j), pick(found, j, i)
        assert (there.mean, there.low, there.high) == (-back.mean, -back.high, -back.low)


def test_the_trigram_model_by_hand() -> None:
    """Text a b a b c over the words a b c d = 0 1 2 3."""
    model = TrigramModel(np.array([0, 1, 0, 1, 2]), 4)
    # Unigram: 5 words, 3 kinds. a: (2 + 3/4) / 8; c: (1 + 3/4) / 8.
    a, c, d = 2.75 / 8, 1.75 / 8, 0.75 / 8
    # After b come a and c, once each: 2 words, 2 kinds. After (a, b) the same.
    after_b = {0: (1 + 2 * a) / 4, 2: (1 + 2 * c) / 4, 3: 2 * d / 4}
    for word, bigram in after_b.items():
        trigram = ((1 if word != 3 else 0) + 2 * bigram) / 4
        assert model.nats(np.array([0, 1, word])) == pytest.approx([-math.log(trigram)])
    # Nothing occurs after (c, b): only the bigram is used. Nothing occurs after (d, d) or d: the unigram.
    assert model.nats(np.array([2, 1, 0])) == pytest.approx([-math.log(after_b[0])])
    assert model.nats(np.array([3, 3, 0])) == pytest.approx([-math.log(a)])


@given(st.lists(st.integers(0, 5), min_size=3, max_size=40), st.integers(0, 5), st.integers(0, 5))
def test_the_trigram_model_gives_a_distribution(text: list[int], first: int, second: int) -> None:
    model = TrigramModel(np.array(text), 6)
    probabilities = [math.exp(-model.nats(np.array([first, second, word]))[0]) for word in range(6)]
    assert sum(probabilities) == pytest.approx(1)


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(4, 7), min_size=1, max_size=5, unique=True))
def test_a_loop_is_found_where_it_begins(before: list[int], circle: list[int]) -> None:
    assert loop([*before, *circle * 3]) == Loop(len(before), len(circle))


def test_what_is_no_loop() -> None:
    assert loop([1, 2, 3, 4, 5, 6]) is None
    assert loop([1, 2, 1, 2]) is None  # twice is a repetition; a loop comes back three times
    assert loop([5, 5, 5, 1]) is None  # it must last to the end
    assert loop([0, 1, 2, 2, 2]) == Loop(2, 1)


def test_distinct_counts_kinds_over_all_texts() -> None:
    assert distinct([[1, 2, 1, 2], [1, 2, 3, 4]], 1) == 4 / 8
    assert distinct([[1, 2, 1, 2], [1, 2, 3, 4]], 2) == 4 / 6


def test_real_text_comes_in_pieces_of_the_length_asked_for() -> None:
    assert pieces(np.arange(10), 3, 4).tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert pieces(np.arange(3), 3, 4).shape == (0, 4)


def text_of(words: int, loops: int, distinct_2: float, surprisal: float | None) -> Quality:
    """The quality of ten texts."""
    return Quality(10, words, 0.5, distinct_2, 0.5, 0.1, None, None, loops, None, None, surprisal)


def test_the_texts_of_a_setting_are_counted_and_averaged_over_its_seeds() -> None:
    group = Group("g", [finished("a"), finished("b")])
    own = [
        SampleQuality(
            text_of(100, 9, 0.1, 1.0), text_of(100, 0, 0.8, 5.0), [AtTemperature(0.5, text_of(100, 3, 0.4, 2.0))]
        ),
        SampleQuality(
            text_of(100, 10, 0.3, 2.0), text_of(100, 1, 0.6, 7.0), [AtTemperature(0.5, text_of(100, 0, 0.4, None))]
        ),
    ]
    runs = [run_figures(Known(run, quality=one), group, [], []) for run, one in zip(group.runs, own, strict=True)]
    rows = group_samples([group_figures(group, runs, 0.95)], runs, 0.95)
    assert [(row.by, row.temperature, row.loops, row.sequences) for row in rows] == [
        ("greedy", None, 19, 20), ("temperature 0.5", 0.5, 3, 20), ("temperature 1", 1.0, 1, 20),
    ]  # fmt: skip
    greedy, half, one = rows
    assert greedy.distinct_2 == over_seeds([0.1, 0.3])
    assert one.surprisal == over_seeds([5.0, 7.0])
    assert half.surprisal is None  # of one of the two alone it would not be the setting's


def test_unrelated_pairs_have_the_words_of_the_related_ones() -> None:
    assert len(RELATED) == 20
    assert len({word for pair in RELATED for word in pair}) == 40
    for count in range(2, 21):
        pairs = unrelated_words(RELATED[:count])
        assert not set(pairs) & set(RELATED)
        assert [a for a, _ in pairs] == [a for a, _ in RELATED[:count]]
        assert {b for _, b in pairs} == {b for _, b in RELATED[:count]}


def test_related_words_that_training_brought_together_are_found_and_missing_ones_counted() -> None:
    pairs = [(f"a{i}", f"b{i}") for i in range(6)]
    vocab = Vocab(["<eos>", "<unk>", *(word for pair in pairs for word in pair)])
    initial, counts = torch.eye(len(vocab)), np.arange(len(vocab))
    trained = initial.clone()
    for a, b in pairs:  # 60 degrees between the words of a pair, all else at right angles
        trained[vocab.id(b)] = 0.5 * initial[vocab.id(a)] + math.sqrt(0.75) * initial[vocab.id(b)]
    found = measure_related([*pairs, ("a0", "nowhere")], vocab, counts, trained, initial)
    assert (found.given, found.left_out) == (7, [("a0", "nowhere")])
    assert found.counts["b5"] == len(vocab) - 1
    assert found.related.trained["cosine"] == pytest.approx([0.5] * 6)
    assert found.unrelated.words[0] == ("a0", "b3")
    euclidean, cosine = closer({"g": [found, found]}, 0.95)
    assert (cosine.pairs, cosine.runs, cosine.related, cosine.unrelated) == (6, 2, pytest.approx(0.5), pytest.approx(1))
    assert euclidean.change.mean == pytest.approx(math.sqrt(2) - 1)
    assert cosine.initial.mean == pytest.approx(0)
    assert cosine.verdict == cosine.change
    assert (
        "training brought related words closer together than unrelated ones, by more than chance"
        in sentences_words.relatedness(cosine)
    )
    (_, other) = closer({"g": [measure_related(pairs, vocab, counts, initial, None)]}, 0.95)
    assert other.change is None
    assert "no difference is shown" in sentences_words.relatedness(other)
    few = measure_related(pairs[:4], vocab, counts, trained, initial)
    assert few.related is None
    assert closer({"g": [few]}, 0.95) == []


def test_isotropy_of_a_round_cloud_and_of_a_line() -> None:
    cloud = torch.randn(20_000, 16, generator=torch.Generator().manual_seed(0))
    assert vectors.isotropy(cloud) > 0.99
    assert vectors.isotropy(torch.outer(torch.randn(50), torch.ones(16))) == pytest.approx(1 / 16)
    assert vectors.isotropy(cloud + 3) < 0.2  # all vectors point to one side


def test_embeddings_agree_with_themselves_and_not_with_others() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(300, 32, generator=generator) for _ in range(2))
    words = np.arange(300)
    turned = a @ torch.linalg.qr(torch.randn(32, 32, generator=generator)).Q
    same = vectors.agreement(a, turned, words)
    assert (same.neighbours, same.rank_correlation) == pytest.approx((1, 1), abs=0.01)
    other = vectors.agreement(a, b, words)
    assert other.neighbours == pytest.approx(10 / 299, abs=0.02)
    assert abs(other.rank_correlation) < 0.06


def test_displacement_and_the_rank_of_a_pair() -> None:
    initial = torch.eye(4)
    found = vectors.measure(initial * 2, initial, {("a", "b"): (0, 1)}, np.arange(4), np.array([7, 5, 3, 1]))
    assert found.displacement == Displacement(1.0, 1.0)
    (pair,) = found.pairs
    assert pair.euclidean.trained == pytest.approx(2 * math.sqrt(2))
    assert pair.euclidean.initial == pytest.approx(math.sqrt(2))
    assert pair.counts == (7, 5)


def test_what_the_beginning_would_tell_has_no_key_where_that_was_not_kept() -> None:
    found = json_form(vectors.measure(torch.eye(4), None, {("a", "b"): (0, 1)}, np.arange(4), np.arange(4)))
    assert isinstance(found, dict)
    assert list(found) == ["size", "isotropy", "frequent_pairs", "displacement", "pairs"]
    assert found["displacement"] is None
    assert list(found["isotropy"]) == list(found["frequent_pairs"]["cosine"]) == ["trained"]
    assert list(found["pairs"][0]["cosine"]) == ["trained", "rank"]


def test_figures_as_report_json_holds_them() -> None:
    assert json_form([LeftOut(str(Path("a")), "why"), Path("b"), (1, None)]) == [
        {"folder": "a", "reason": "why"}, "b", [1, None],
    ]  # fmt: skip
    beside = json_form(AtTemperature(0.5, quality(np.array([[1, 2, 3]]), 0, None)))
    assert isinstance(beside, dict)
    assert list(beside)[:3] == ["temperature", "sequences", "words"]


def test_convergence_is_the_first_validation_at_or_below() -> None:
    curve = LearningCurve(tokens=[10, 20, 30], updates=[1, 2, 3], seconds=None, values=[300.0, 200.0, 250.0])
    found = convergence(curve, [300, 260, 100])
    assert [row.tokens for row in found] == [10, 20, None]
    assert found[0].seconds is None
    assert levels([123.4, 98.7, 201.0]) == [210, 130, 99]
    assert levels([123.4], [50, 100]) == [100, 50]


finite = st.floats(1e-3, 1e6)


@given(finite, finite, finite)
def test_more_and_less_common_are_said_only_with_an_interval_and_never_mixed_up(
    x: float, y: float, half: float
) -> None:
    said = sentences_words.judged("A", x, y, Interval(x - y, x - y - half, x - y + half, 20))
    assert ("more common" in said) == (x - y + half < 0)
    assert ("less like" in said) == (x - y - half > 0)
    assert ("No difference shown" in said) == (abs(x - y) <= half)
    assert "No difference shown: too few texts" in sentences_words.judged("A", x, y, Interval(x - y, None, None, 1))


def test_a_hair_is_no_difference() -> None:
    """The texts of a run and real text, 4.76 and 4.78 nats on average, with the usual spread over texts."""
    written, real = (
        Quality(20, 2000, 1.0, 1.0, 1.0, 0.0, mean, list(mean + 0.3 * np.linspace(-1, 1, 20)), 0, None, None)
        for mean in (4.76, 4.78)
    )
    random = replace(written, ngram_nats_of_texts=[1.0] * 20)
    (row, other) = against_real({"a": SampleQuality(written, random, real=real)}, 0.95)
    assert (row.run, row.sampler, other.sampler) == ("a", "greedy", "random")
    known = stats.ttest_ind(written.ngram_nats_of_texts, real.ngram_nats_of_texts, equal_var=False)
    assert row.over_texts[1:3] == pytest.approx(tuple(known.confidence_interval(0.975)))  # two comparisons
    said = sentences_words.judged("a, greedy", 4.76, 4.78, row.over_texts)
    assert "No difference shown" in said
    assert "common" not in said
    assert "more common" in sentences_words.judged("a, random", 1.0, 4.78, other.over_texts)


def test_equal_texts_have_an_interval_and_a_single_one_has_none() -> None:
    assert between_means([1.0, 1.0], [3.0, 3.0]) == (2.0, 2.0, 2.0, 2)
    assert between_means([1.0], [3.0, 4.0]) == (2.5, None, None, 1)


def test_a_figure_that_is_not_a_number_excludes_nothing() -> None:
    assert not Interval(math.nan, math.nan, math.nan, 3).excludes(0)


def test_figures_without_an_interval_are_not_ordered() -> None:
    written = quality(np.array([[1, 2, 3, 4]]), 0, None)
    orders = r"smaller|larger|more|fewer|less|better|worse|best"
    for said in (
        sentences_words.loops("A", written, replace(written, distinct_2=0.5)),
        sentences_words.change("a - b", "cosine", 0.5, 0.1),
        sentences.epochs("A", 100.0, 3, 104.0, 5),
        sentences.epochs("A", 100.0, 5, 100.0, 5),
    ):
        assert not re.search(rf"\b({orders})\b", said)
    assert sentences.epochs("A", 100.0, 3, 104.0, 5).endswith(
        "was 100.0, after epoch 3 of 5, and 104.0 after the last."
    )
    short_text = replace(row(0.2, (0.1, 0.3), None, False), over_text=Interval(0.2, None, None, 5))
    assert sentences.difference(short_text).startswith("A and B: no difference shown.")


def test_the_classic_mistake_is_not_made() -> None:
    """The classic exercise calls 1.1329 smaller than 1.0003."""
    over_seeds, means = Interval(-0.1326, -0.2, -0.1, 3), (1.1329, 1.0003)
    said = sentences_words.distances(
        DistanceDifference(("a", "b"), "cosine", ("teacher", "free"), means, None, over_seeds, 0.95)
    )
    assert "the cosine distance is 1.133 with teacher and 1.000 with free" in said
    assert "the difference, free minus teacher,: [-0.200, -0.100]" in said


def row(nats: float, text: tuple[float, float], seeds: tuple[float, float] | None, shown: bool) -> Difference:
    low, high = seeds or (None, None)
    return Difference(
        groups=("A", "B"), nats=nats, tokens=1000, segment_tokens=20, shown=shown,
        over_text=Interval(nats, *text, 50), over_seeds=Interval(nats, low, high, 3 if seeds else 1),
        confidence_of_each=0.95, confidence_of_all=0.95,
    )  # fmt: skip


def test_a_difference_is_told_both_ways_round() -> None:
    assert sentences.difference(row(0.2, (0.1, 0.3), (0.1, 0.3), True)).startswith("A predicts better than B")
    assert sentences.difference(row(-0.2, (-0.3, -0.1), (-0.3, -0.1), True)).startswith("B predicts better than A")
    assert "single run" in sentences.difference(row(0.2, (0.1, 0.3), None, True))
    no = sentences.difference(row(0.2, (0.1, 0.3), (-0.1, 0.5), False))
    assert "no difference shown" in no
    assert "over seeds contains 0" in no
    assert "no difference shown" in sentences.difference(row(0.0, (0.0, 0.0), None, False))


def test_where_a_distance_lies_is_told_every_way() -> None:
    before = Spread(1.0, 0.8, 1.2)
    assert "no sign of anything learned" in sentences_words.places(
        "a - b", "cosine", [("A", 1.13, before), ("B", 1.0, before)]
    )
    outside = sentences_words.places("a - b", "cosine", [("A", 0.5, before), ("B", 1.3, before), ("C", 1.0, before)])
    assert "A (0.5000, below [0.8000, 1.200]), B (1.300, above [0.8000, 1.200]); within it in the other 1" in outside


def test_distances_between_settings_need_seeds() -> None:
    def said(low: float | None, high: float | None) -> str:
        over_seeds = Interval(-0.1326, low, high, 2)
        means = 1.1329, 1.0003
        return sentences_words.distances(
            DistanceDifference(("a", "b"), "cosine", ("A", "B"), means, None, over_seeds, confidence_of_all=0.95)
        )

    alone = said(None, None)
    assert "1.133 with A and 1.000 with B" in alone
    assert "No difference is shown: one of them has a single seed" in alone
    assert "no difference is shown" in said(-0.3, 0.1)
    assert "larger than that of seeds" in said(-0.2, -0.1)


def test_overlapping_intervals_show_no_difference() -> None:
    a, b, c = (Perplexity(low + 0.5, low, low + 1, 2, [100]) for low in (1.0, 1.5, 3.0))
    assert "no difference shown" in sentences.apart(a, b)
    assert "no difference shown" in sentences.apart(b, a)
    assert sentences.apart(a, c) == sentences.apart(c, a) == "their intervals do not overlap"
    assert sentences.apart(a, Perplexity(1.0, None, None, 1, [100])) == "one run each: not tested"


def finished(name: str, seed: int = 0, test: dict[str, float] | None = None) -> Run:
    """A finished run with a minimal result.json."""
    result = {"config": {"seed": seed, "forcing": {}}, "valid": {"perplexity": 1.0}, "test": test or {}, "best": {}}
    return Run(Path(name), result, name)


def tried(cell: str, rate: float, seed: int, valid: float, test: float) -> Run:
    """A finished run of a cell with a learning rate; its nats per token."""
    run = finished(f"{cell}{rate}{seed}", seed)
    run.config["model"], run.config["optim"] = {"cell": cell}, {"name": "adam", "lr": rate}
    run.result["overrides"] = [f"model/cell={cell}", f"optim.lr={rate}", f"seed={seed}"]
    run.result["parameters"] = 1000
    scores = {"valid": valid, "test": test}
    return replace(run, result=run.result | {k: {"nats": 100 * v, "tokens": 100} for k, v in scores.items()})


def test_each_setting_is_judged_at_its_own_best_rate_and_the_test_text_chooses_nothing() -> None:
    runs = [
        *(tried("gru", 0.1, seed, 5.0 + seed / 100, 4.0) for seed in (1, 2)),  # best on the test text alone
        *(tried("gru", 0.3, seed, 4.0 + seed / 100, 5.0 + seed / 100) for seed in (1, 2)),
        *(tried("lstm", 0.1, seed, 3.0 + seed / 100, 3.5 + seed / 100) for seed in (1, 2)),
        *(tried("lstm", 0.2, seed, 3.5 + seed / 100, 3.0) for seed in (1, 2)),
        *(tried("lstm", 0.3, seed, 3.6 + seed / 100, 3.0) for seed in (1, 2)),
    ]
    first, second = tuned(grouped(runs), 0.95)
    assert (first.name, first.rate, first.rates, first.at_the_edge) == ("lstm", 0.1, [0.1, 0.2, 0.3], "lowest")
    assert (second.name, second.rate, second.rates, second.at_the_edge) == ("gru", 0.3, [0.1, 0.3], "highest")
    assert (first.weights, first.behind) == (1000, None)
    assert second.behind is not None
    assert second.behind.mean == pytest.approx(1.5)
    assert second.behind.excludes(0)
    # With two groups Tukey's interval is Student's, of the pooled spread: t(0.975, 2) * s * sqrt(2 / 2).
    assert second.behind.high - second.behind.mean == pytest.approx(4.3027 * 0.01 / 2**0.5, rel=1e-3)


def test_without_several_rates_or_settings_nothing_is_chosen() -> None:
    assert tuned(grouped([tried("gru", 0.1, 1, 4.0, 4.0), tried("lstm", 0.1, 1, 4.0, 4.0)]), 0.95) == []
    assert tuned(grouped([tried("gru", 0.1, 1, 4.0, 4.0), tried("gru", 0.2, 1, 4.0, 4.0)]), 0.95) == []


def test_a_rate_of_which_a_seed_diverged_is_not_chosen_however_good_the_others_are() -> None:
    runs = [
        *(tried("gru", 0.1, seed, 4.1, 4.0) for seed in (1, 2)),
        tried("gru", 0.4, 2, 3.9, 3.9),  # seed 1 failed, and is not in a report
        *(tried("rnn", 0.1, seed, 5.0, 5.0) for seed in (1, 2)),
        *(tried("lstm", 0.1, seed, math.inf, 5.0) for seed in (1, 2)),
    ]
    first, second = tuned(grouped(runs), 0.95)
    assert (first.name, first.rate, first.unfinished) == ("gru", 0.1, [0.4])
    assert (second.name, second.rate, second.unfinished) == ("rnn", 0.1, [])
    assert second.behind is not None
    assert math.isfinite(second.behind.mean)


def test_a_repeat_is_no_learning_rate_and_a_run_without_one_is_left_out() -> None:
    runs = [tried("gru", 0.1, 1, 4.0, 4.0), tried("gru", 0.1, 1, 3.0, 3.0), tried("rnn", 0.1, 1, 5.0, 5.0)]
    assert tuned(grouped(runs), 0.95) == []
    del runs[2].config["optim"]
    assert tuned(grouped([*runs, tried("gru", 0.2, 1, 4.0, 4.0)]), 0.95) == []


def of_runs(group: Group, embeddings: list[Embeddings]) -> list[RunFigures]:
    """The figures of a group's runs with these embeddings."""
    pairs = zip(group.runs, embeddings, strict=True)
    return [run_figures(Known(run, embeddings=own), group, [], []) for run, own in pairs]


def one_pair(initial: float | None, trained: float) -> Embeddings:
    """An embedding with one pair of words, whose distances of both kinds are equal."""
    distance, span = PairDistance(trained, initial, rank=0.5), Spread(1.0, 0.0, 99.0)
    spreads = Spreads(span, None if initial is None else span)
    pair = vectors.Pair(("a", "b"), distance, distance, (1, 1))
    return Embeddings(8, vectors.Isotropy(1.0, None), vectors.FrequentPairs(spreads, spreads), None, [pair])


class Measured:
    """Groups of two runs with known nats: independent noise for each token, and a little for each run."""

    def __init__(self, seed: int, size: int, noise: float) -> None:
        self.random, self.noise = np.random.default_rng(seed), noise
        self.vocab = Vocab(["<eos>", "<unk>", *(f"{seed}-{i}" for i in range(8))])
        self.text = Text(self.vocab, {"test": np.full(size, seed)})
        self.base = self.random.gamma(2, 2.5, size)
        self.known: dict[str, Known] = {}

    def group(self, name: str, shift: float) -> Group:
        runs = []
        for i in range(2):
            nats = self.base + shift + self.random.normal(0, 0.3, len(self.base)) + self.random.normal(0, self.noise)
            test = {"perplexity": math.exp(nats.mean()), "nats": float(nats.sum()), "tokens": len(nats)}
            run = finished(f"{name}-{i}", i, test)
            self.known[run.name] = Known(run, self.vocab, self.text, nats)
            runs.append(run)
        return Group(name, tuple(runs))


def test_groups_that_read_another_text_change_no_difference() -> None:
    ours, theirs = Measured(1, 20_000, 0.001), Measured(2, 900, 0.5)
    groups = [ours.group("A", 0.0), ours.group("B", 0.02)]
    others = [theirs.group("C", 0.0), theirs.group("D", 0.02)]
    refused: list[Refused] = []
    (alone,) = differences(groups, ours.known, refused, Settings())
    assert not refused
    together, apart = differences(groups + others, {**ours.known, **theirs.known}, refused, Settings())
    assert together == alone
    assert (together.tokens, apart.tokens) == (20_000, 900)
    assert len(refused) == 4


def test_of_many_settings_each_is_compared_with_the_one_that_is_called_best() -> None:
    text = Measured(3, 5_000, 0.003)
    groups = [text.group(f"g{k}", 0.1 * k) for k in range(9)]
    text.known["g1-0"].run.result["valid"]["perplexity"] = 0.5  # a lucky seed on another text
    rows = differences(groups, text.known, [], Settings())
    assert [row.groups for row in rows] == [("g0", f"g{k}") for k in range(1, 9)]
    runs = [run_figures(text.known[run.name], group, [], []) for group in groups for run in group.runs]
    of_groups = [group_figures(group, runs, 0.95) for group in groups]
    report = replace(NOTHING, runs=runs, groups=of_groups, differences=rows)
    assert "lowest g0 (" in short._best(report)[0]
    assert "than 8 of the 8 other settings; the next is g1 (" in short._best(report)[0]
    some = short._best(replace(report, differences=rows[5:]))[0]
    assert "than 3 of the 8 other settings, of which 3 were compared" in some
    chance = [replace(row, shown=False) for row in rows]
    (said,) = short._best(replace(report, differences=chance))
    assert "is not shown to differ from any of the 8 other settings; the next is g1 (" in said
    assert "lowest" not in said
    (said,) = short._best(replace(report, incomparable="their vocabularies differ"))
    assert said == sentences.incomparable("their vocabularies differ")


def test_which_setting_predicts_its_own_words_best_rests_on_intervals() -> None:
    groups = [Group(name, (finished(name),)) for name in "ABC"]
    figures = [
        replace(
            group_figures(group, of_runs(group, [one_pair(None, 1.0)]), 0.95), test=Perplexity(10, 9, 11, 2, [5]),
            test_free_running=own,
        )
        for group, own in zip(
            groups,
            [Perplexity(20, 15, 25, 2, [5]), Perplexity(18, 16, 19, 2, [5]), Perplexity(40, 30, 50, 2, [5])],
            strict=True,
        )
    ]  # fmt: skip
    report = replace(NOTHING, groups=figures)
    (said,) = short.own_words(report)
    assert "lowest B (18.00), its interval below those of 1 of the 2 other settings" in said
    assert "A, lowest on true words, has 20.00 (their intervals overlap: no difference shown)" in said
    (said,) = short.own_words(replace(report, groups=figures[:2]))
    assert "lowest B (18.00), not shown to differ from A" in said
    single = [
        replace(group, test_free_running=Perplexity(x, None, None, 1, [5]))
        for group, x in zip(figures, (3, 2, 1), strict=True)
    ]
    (said,) = short.own_words(replace(report, groups=single))
    assert "lowest C (1.000), one run each, not tested against any of the 2 other settings;" in said
    assert said.endswith("; A, lowest on true words, has 3.000.")
    assert short.own_words(replace(report, incomparable="their vocabularies differ")) == []


def test_unknown_tokens_are_counted_and_shared_out() -> None:
    assert sentences.unknown([4794], [82429]) == "4,794 of 82,429 (5.8%)"
    assert sentences.unknown([0], [10]) == "0 of 10 (0.0%)"
    assert sentences.unknown([1, 2], [10]) == "1 / 2 of 10"
    assert sentences.unknown(None, [10]) == "- of 10"


def test_runs_without_a_known_text_are_compared_only_if_their_vocabularies_are_of_one_size() -> None:
    one, two = (Known(finished(name)) for name in "ab")
    assert different_text([one, two]) is None
    one.run.result["vocabulary"], two.run.result["vocabulary"] = 41, 41
    assert different_text([one, two]) is None
    two.run.result["vocabulary"] = 20
    assert "vocabularies differ (41 and 20 words)" in (different_text([one, two]) or "")
    known = Known(one.run, vocab=Vocab(["<eos>", "<unk>", "a"]))
    assert "vocabularies differ (3 and 20 words)" in (different_text([known, two]) or "")


def read_by(
    tokeniser: str, bits: float, size: int = 1000, data: dict[str, object] | None = None, **changed: object
) -> Known:
    """A run of a tokeniser with so many bits per byte of a test text of `size` bytes; its score may be `changed`."""
    test = {"tokens": 300, "unknown": 0, "nats": bits * math.log(2) * size, "words": 200, "bits_per_byte": bits}
    run = finished(f"{tokeniser} {bits}", 0, {**test, **changed})
    run.config["data"] = {"tokeniser": {"_target_": f"lm.data.tokenisers.{tokeniser}"}, **(data or {})}
    return Known(run)


@given(st.randoms())
def test_runs_of_different_tokenisers_are_ranked_by_bits_per_byte(order: random.Random) -> None:
    known = [read_by("Bytes", 2.1), read_by("Characters", 1.7), read_by("BPE", 1.4), read_by("Whitespace", 1.9)]
    order.shuffle(known)
    rows = ranking(known)
    assert [row.tokeniser for row in rows] == ["bpe", "characters", "whitespace", "bytes"]
    assert all(row.ranked and row.reason is None for row in rows)
    assert json_form(rows[0]) == {
        "run": "BPE 1.4", "tokeniser": "bpe", "bits_per_byte": 1.4, "bits_per_character": None,
        "perplexity_per_word": None, "perplexity": None, "ranked": True, "reason": None,
    }  # fmt: skip


OLD = read_by("Bytes", 0.5)
for key in ("words", "bits_per_byte"):
    del OLD.run.result["test"][key]
WRITTEN = replace(read_by("Whitespace", 0.5, unknown=1234), vocab=Vocab(["<unk>", "<eos>", "a"], writes_unk=True))
LOWERED = replace(read_by("File", 0.5), vocab=Vocab(["<unk>", "<eos>", "a"], Whitespace(lowercase=True)))


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (read_by("Whitespace", 0.5, unknown=3), "3 of 300 tokens of its test text are <unk>, which is cheap"),
        (WRITTEN, "1,234 of 300 tokens of its test text are <unk>, which is cheap to predict; the text itself writes"),
        (read_by("Bytes", 0.5, data={"lowercase": True}), "in lower case"),
        (read_by("Bytes", 0.5, data={"normalise": "NFKC"}), "in normal form NFKC"),
        (LOWERED, "in lower case"),  # by its tokenizer.json, not by a setting
        (read_by("Bytes", 0.5, words=None, bits_per_byte=None), "not scored whole"),
        (read_by("Bytes", 0.5, bits_per_byte=None), "not a number"),
        (read_by("Bytes", 0.5, tokens=0), "no test score"),
        (OLD, "older version"),
        (read_by("Bytes", 0.5, size=1001), "another: 200 words and 1,001 bytes, not 200 words and 1,000 bytes"),
        (read_by("Bytes", 0.5, words=199), "another: 199 words and 1,000 bytes"),
    ],
)
def test_what_bits_per_byte_do_not_compare_is_listed_with_the_reason(known: Known, reason: str) -> None:
    *ranked, last = ranking([known, read_by("Characters", 1.7), read_by("Bytes", 1.6, data={"normalise": "NFC"})])
    assert [row.bits_per_byte for row in ranked if row.ranked] == [1.6, 1.7]
    assert last.run == known.run.name
    assert not last.ranked
    assert reason in last.reason


def test_the_text_of_most_runs_is_that_of_the_runs_that_compare() -> None:
    unknown = [read_by("Whitespace", 0.1 * i, size=5000, unknown=9) for i in range(1, 6)]
    rows = ranking([*unknown, read_by("Bytes", 0.7, size=20), read_by("Bytes", 2.0), read_by("Characters", 1.0)])
    assert [row.bits_per_byte for row in rows if row.ranked] == [1.0, 2.0]
    assert "<unk>" in rows[2].reason
    assert "another" in rows[-1].reason
    assert not any(row.ranked for row in ranking([unknown[0], read_by("Bytes", 1.0, tokens=0)]))


def test_runs_of_one_tokeniser_are_not_ranked() -> None:
    same = [read_by("Bytes", 1.0, data={"lowercase": False}), read_by("Bytes", 2.0), read_by("Bytes", 3.0, size=7)]
    assert ranking(same) == ranking([*same, Known(finished("old"))]) == []
    assert ranking_section.ranking(NOTHING) == []
    assert len(ranking([*same, read_by("Bytes", 1.0, data={"lowercase": True})])) == 4


def test_runs_of_different_tokenisers_without_weights_are_not_compared_by_token() -> None:
    one, two = read_by("Bytes", 1.0), read_by("Bytes", 1.0, data={"lowercase": True})
    assert different_text([one, one]) is None
    one.run.result["vocabulary"] = two.run.result["vocabulary"] = 257
    assert "their tokenisers differ (bytes, bytes lowercase)" in (different_text([one, two]) or "")


def test_where_seeds_begin_is_told_within_settings_whatever_their_order() -> None:
    """Two settings of different sizes: initial distances differ by 2 between seeds of one, by 0 in the other."""
    runs: list[tuple[RunFigures, Embeddings]] = []
    for setting, start, apart in (("large", 11.0, 2.0), ("small", 4.0, 0.0)):
        own = [one_pair(start + apart * seed, start) for seed in range(2)]
        group = Group(setting, tuple(finished(f"{setting} {seed}", seed) for seed in range(2)))
        runs += zip(of_runs(group, own), own, strict=True)
    said = [[line for line in words._said(order) if "changed the euclidean" in line] for order in (runs, runs[::-1])]
    assert said[0] == said[1]
    assert "over seeds is 1.00" in said[0][0]  # variances 2 and 0, pooled


def test_what_training_changed_is_compared_and_not_where_seeds_began() -> None:
    """Two settings with three seeds of different initial distances; training adds 0.1 in the second, 0 in the first."""
    starts = [0.7, 1.0, 1.3]
    groups = [Group(name, tuple(finished(f"{name}{seed}", seed) for seed in range(3))) for name in ("A", "B")]

    def rows(started: bool) -> list[RunFigures]:
        found = []
        for group, moved in zip(groups, (0.0, 0.1), strict=True):
            ends = [start + moved + 0.001 * i for i, start in enumerate(starts)]
            found += of_runs(group, [one_pair(a if started else None, b) for a, b in zip(starts, ends, strict=True)])
        return found

    changed = of_distances(groups, rows(started=True), 0.95)
    assert [row.kind for row in changed] == list(KINDS)
    for row in changed:
        assert row.changes == pytest.approx((0.001, 0.101))
        assert row.over_seeds.low > 0
    for row in of_distances(groups, rows(started=False), 0.95):
        assert row.changes is None
        assert row.over_seeds.low < 0 < row.over_seeds.high


@pytest.mark.slow
@pytest.mark.parametrize(("models", "simulations"), [(2, 1000), (9, 200), (20, 200)])
def test_equal_models_seldom_differ_beyond_chance(models: int, simulations: int) -> None:
    """All comparisons together hold with 95%, the best group chosen on the same text included."""
    names, rng, mistaken = [str(i) for i in range(models)], np.random.default_rng(0), 0
    for _ in range(simulations):
        text = rng.normal(6, 2, 1000)  # what is hard is hard for all
        nats = {name: [text + rng.normal(0, 1, 1000)] for name in names}
        best = min(names, key=lambda name: nats[name][0].mean())
        pairs = list(combinations(names, 2)) if models <= ALL_PAIRS else [(best, n) for n in names if n != best]
        rows = _of_one_text(pairs, nats, Settings(resamples=500))
        mistaken += any(row.over_text.excludes(0) for row in rows)
    assert mistaken / simulations <= 0.08


def test_runs_in_different_precisions_are_no_seeds_of_one_setting(tmp_path: Path) -> None:
    def run(seed: int, precision: str) -> Run:
        config = {"seed": seed, "accelerator": {"precision": "auto"}, "trainer": {}}
        return Run(tmp_path / f"{seed}", {"config": config, "precision": precision}, str(seed))

    found = grouped([run(1, "32-true"), run(2, "bf16-mixed"), run(3, "32-true")])
    assert [[one.seed for one in group.runs] for group in found] == [[1, 3], [2]]
