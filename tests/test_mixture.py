"""Mixtures of models in evaluate.py: shares, n-gram models, seeds of a sweep."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY, Done, Run
from hypothesis import given, settings
from hypothesis import strategies as st

from lm.data.documents import Ids
from lm.evaluation.kneser_ney import KneserNey
from lm.evaluation.mixture import best_shares, checked_shares, mixed, ngram_nats
from lm.evaluation.predictors import Mixture, Neural, NGram
from lm.evaluation.sentences import score_sentences
from lm.runs.trained import load
from lm.studies.comparison.statistics import over_seeds
from lm.system.errors import UserError

SHORT = [*TINY, "trainer.limit_train_batches=20", "trainer.max_epochs=1", "free_running=null", "accelerator=cpu"]
NATS = st.integers(1, 4).flatmap(
    lambda members: st.lists(st.lists(st.floats(0.01, 12), min_size=members, max_size=members), min_size=1, max_size=30)
)


@settings(max_examples=60, deadline=None)
@given(NATS)
def test_shares_found_are_never_worse_than_a_member_or_equal_shares(rows: list[list[float]]) -> None:
    nats = np.array(rows).T
    shares = best_shares(nats)
    assert shares.sum() == pytest.approx(1)
    assert shares.min() >= 0
    total = mixed(nats, shares).sum()
    for other in [*np.eye(len(nats)), np.full(len(nats), 1 / len(nats))]:
        assert total <= mixed(nats, other).sum() + 1e-6


def test_two_shares_are_those_of_a_search_over_a_grid() -> None:
    nats = np.random.default_rng(0).exponential(2.0, (2, 500))
    share = best_shares(nats)[0]
    grid = min(np.linspace(0, 1, 1001), key=lambda one: mixed(nats, [one, 1 - one]).sum())
    assert share == pytest.approx(grid, abs=2e-3)


def test_probabilities_are_added() -> None:
    nats = np.array([[math.log(2), math.log(10)], [math.log(4), math.inf]])
    assert mixed(nats, [0.5, 0.5]) == pytest.approx([-math.log(0.375), -math.log(0.05)])
    assert mixed(nats, [1.0, 0.0]) == pytest.approx(nats[0])
    assert checked_shares([2, 1, 1], 3).tolist() == [0.5, 0.25, 0.25]
    with pytest.raises(UserError, match="give 2 shares"):
        checked_shares([1.0], 2)


def test_no_context_of_the_n_gram_model_reaches_into_an_earlier_document() -> None:
    ids = np.array([0, 1, 2, 0, 1, 2, 1, 0, 2, 2, 1, 0])
    model = KneserNey(ids, 3, 4)
    cut = ngram_nats(model, Ids(ids, np.array([0, 3, 7])))
    assert cut == pytest.approx(np.concatenate([model.nats(ids[:4]), model.nats(ids[3:8]), model.nats(ids[7:])]))
    assert ngram_nats(model, ids) == pytest.approx(model.nats(ids))


@pytest.fixture
def seeds(text_file: Path, train: Callable[..., Run], tmp_path: Path) -> list[Run]:
    (tmp_path / "sweep").mkdir()
    return [train("data=text", f"data.train={text_file}", *SHORT, f"seed={k}", name=f"sweep/{k}") for k in (1, 2)]


def test_seeds_of_a_sweep_are_a_mixture(seeds: list[Run], call: Callable[..., Done], tmp_path: Path) -> None:
    out = tmp_path / "out.json"

    def figures(*asked: str) -> dict[str, Any]:
        done = call("evaluate", f"out={out}", *asked)
        assert done.code == 0, done.err
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    one, two = (figures(f"checkpoint={run.dir}") for run in seeds)
    assert "members" not in one
    twice = figures(f"checkpoint=[{seeds[0].dir},{seeds[0].dir}]")
    assert twice["nats"] == pytest.approx(one["nats"], rel=1e-6)
    ensemble = figures(f"checkpoint={tmp_path}/sweep")
    assert [member["perplexity"] for member in ensemble["members"]] == pytest.approx(
        [one["perplexity"], two["perplexity"]], rel=1e-6
    )
    assert [member["share"] for member in ensemble["members"]] == [0.5, 0.5]
    assert ensemble["nats"] <= (one["nats"] + two["nats"]) / 2 + 1e-3  # -log is convex
    assert ensemble["tokens"] == one["tokens"]
    assert ensemble["bits_per_byte"] == pytest.approx(ensemble["nats"] / one["nats"] * one["bits_per_byte"])
    given = figures(f"checkpoint=[{seeds[0].dir},{seeds[1].dir}]", "mixture=[3,0]")
    assert given["nats"] == pytest.approx(one["nats"], rel=1e-6)


def test_an_n_gram_model_joins_with_its_own_figure(seeds: list[Run], call: Callable[..., Done], tmp_path: Path) -> None:
    out, tokens = tmp_path / "out.json", tmp_path / "tokens"
    asked = [f"checkpoint={seeds[0].dir}", f"out={out}", "ngram=3", "mixture=auto", f"per_token={tokens}"]
    done = call("evaluate", *asked, "split=valid")
    assert done.code == 0, done.err
    assert "shares are found on the text that is scored" in done.err
    found = json.loads(out.read_text())
    trained = load(seeds[0].dir)
    own = KneserNey(trained.split_ids("train"), 3, len(trained.vocab)).nats(trained.split_ids("valid"))
    assert found["members"][1]["member"] == "3-gram"
    assert found["members"][1]["perplexity"] == pytest.approx(math.exp(own.mean()))
    assert found["perplexity"] <= min(member["perplexity"] for member in found["members"]) + 1e-6
    assert sum(float(row.split("\t")[1]) for row in tokens.read_text().splitlines()) == pytest.approx(
        found["nats"], abs=0.01
    )
    assert call("evaluate", *asked[:4], "text=w1 w2 w3").code == 0


def test_sentences_under_a_mixture_have_its_distribution(seeds: list[Run]) -> None:
    one, two = (load(run.dir) for run in seeds)
    ids, lines = one.split_ids("train"), ["w1 w2 w3 w4", "w5"]
    ngram = KneserNey(ids, 3, len(one.vocab))
    members = [Neural(one.model), Neural(two.model), NGram(ngram)]
    alone = [list(score_sentences(member, one.vocab, lines)) for member in members]
    together = list(score_sentences(Mixture(members, [0.5, 0.3, 0.2]), one.vocab, lines))
    for place, found in enumerate(together):
        parts = np.array([own[place].nats for own in alone])
        assert found.nats == pytest.approx(mixed(parts, [0.5, 0.3, 0.2]), abs=1e-4)
    sentence = one.vocab.sentence(lines[0])
    assert alone[2][0].nats[:-1] == pytest.approx(ngram.nats(sentence), abs=1e-4)
    own = [member.predict([sentence])(2, 3)[0].double().exp() for member in members]
    by_hand = 0.5 * own[0] + 0.3 * own[1] + 0.2 * own[2]
    assert float(by_hand.sum()) == pytest.approx(1, abs=1e-5)
    assert together[0].entropy[2] == pytest.approx(-float((by_hand * by_hand.log()).sum()), abs=1e-4)
    same = list(score_sentences(Mixture(members[:1] * 2, [0.5, 0.5]), one.vocab, lines))
    assert [one.nats for one in same] == [pytest.approx(one.nats, abs=1e-5) for one in alone[0]]


def test_score_py_takes_a_sweep_and_an_n_gram(seeds: list[Run], call: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("w1 w2 w3\nw4\n")
    done = call("score", f"checkpoint={tmp_path}/sweep", f"file={tmp_path}/lines", "ngram=2", "mixture=auto")
    assert done.code == 0, done.err
    assert "shares of the mixture: " in done.err
    assert len(done.out.splitlines()) == 1 + 4 + 2


def test_each_of_several_models_judges_pairs_by_itself(
    seeds: list[Run], call: Callable[..., Done], tmp_path: Path
) -> None:
    rows = [(f"w{k} w{k + 1} w3", f"w3 w{k + 1} w{k}", "odd" if k % 2 else "even") for k in range(1, 20)]
    lines = [json.dumps({"sentence_good": good, "sentence_bad": bad, "UID": uid}) for good, bad, uid in rows]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    out, summary = tmp_path / "out", tmp_path / "summary.json"
    asked = [f"file={tmp_path}/pairs.jsonl", "format=pairs", f"out={out}", f"summary={summary}"]
    alone = []
    for run in seeds:
        assert call("score", f"checkpoint={run.dir}", *asked).code == 0
        alone.append((json.loads(summary.read_text()), out.read_text().splitlines()))
    done = call("score", f"checkpoint={tmp_path}/sweep", *asked, "each=true")
    assert done.code == 0, done.err
    found = json.loads(summary.read_text())
    accuracies = [one["accuracy"] for one, _ in alone]
    assert found["accuracy"] == pytest.approx(np.mean(accuracies))
    low, high = over_seeds(accuracies)[1:3]
    assert found["interval"] == pytest.approx([max(0, low or 0), min(1, high or 0)])
    assert [one["accuracy"] for one in found["checkpoints"].values()] == accuracies
    odd = [one["by_uid"]["odd"]["accuracy"] for one, _ in alone]
    assert found["by_uid"]["odd"]["accuracy"] == pytest.approx(np.mean(odd))
    written = out.read_text().splitlines()
    assert written[0] == "checkpoint\t" + alone[0][1][0]
    assert [row.partition("\t")[2] for row in written[1:]] == alone[0][1][1:] + alone[1][1][1:]
    assert "each=true is for format=pairs" in call("score", f"checkpoint={tmp_path}/sweep", asked[0], "each=true").err


def test_what_does_not_mix_is_said(
    seeds: list[Run], train: Callable[..., Run], call: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "words").write_text("some other words here\n" * 200)
    other = train("data=text", f"data.train={tmp_path}/words", *SHORT, name="other")
    both = f"checkpoint=[{seeds[0].dir},{other.dir}]"
    assert "have different vocabularies, so their probabilities do not mix" in call("evaluate", both).err
    two = f"checkpoint=[{seeds[0].dir},{seeds[1].dir}]"
    assert "mixture: give 2 shares" in call("evaluate", two, "mixture=[1]").err
    assert "mixture=even: choose equal or auto" in call("evaluate", two, "mixture=even").err
    assert "does not score every word" in call("evaluate", two, "evaluator=free_running").err
    assert "checkpoint is an empty list" in call("evaluate", "checkpoint=[]").err
