"""N-best lists: scored anew, the best line chosen, word error rates."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Done, Run, run_on

from lm.evaluation.nbest import Errors, Hypothesis, Rescored, chosen, read_nbest, read_references
from lm.runs.trained import load
from lm.system.errors import UserError

pytest.importorskip("jiwer")  # a borrowed machine may lack it
LISTS = "a\t-1.5\tthe army is here\na\t-1.0\tthe army here is\nb\t-2\tit said\nb\t-1\tit sad\nb\t-1\tsaid it is\n"
TRUE = "a\tthe army is here\nb it said\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_on(tmp_path_factory.mktemp("nbest"), "the army is here\nit said the army is not here\n" * 60, windows=60)


def rescored(key: str, score: float, text: str, lm_score: float) -> Rescored:
    return Rescored(Hypothesis(f"{key} {score} {text}", key, score, text), lm_score)


def test_the_line_with_the_highest_total_is_chosen() -> None:
    one = [rescored("a", -1.0, "x y", -9.0), rescored("a", -2.0, "x", -4.0), rescored("a", -2.0, "z", -4.0)]
    assert [line.hypothesis.text for line in chosen([one], 0.0, 0.0)] == ["x y"]
    assert [line.hypothesis.text for line in chosen([one], 1.0, 0.0)] == ["x"]  # the first of equal ones
    assert [line.hypothesis.text for line in chosen([one], 1.0, 5.0)] == ["x y"]  # 5 for each word
    assert one[0].total(1.0, 5.0) == -1.0 - 9.0 + 2 * 5.0


def test_word_error_rates_by_hand() -> None:
    lists = [
        [rescored("a", 0.0, "a b x", -5.0), rescored("a", -1.0, "a b c", -1.0)],  # one substitution; none
        [rescored("b", 0.0, "d", -5.0), rescored("b", -9.0, "d e f g", -1.0)],  # one deletion; two insertions
    ]
    errors = Errors(lists, {"a": "a b c", "b": "d e", "other": "never read"})
    assert errors.words == 5
    assert errors.first == 2 / 5
    assert errors.best_possible == 1 / 5
    assert errors.rate(one[1] for one in lists) == 2 / 5
    weight, penalty = errors.best_weights()
    assert errors.rate(chosen(lists, weight, penalty)) == 1 / 5
    assert penalty == 0.0
    with pytest.raises(UserError, match="no text for the id b"):
        Errors(lists, {"a": "a b c"})


def test_lists_from_start_to_end(run: Run, call: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "lists").write_text(LISTS)
    (tmp_path / "spaced").write_text(LISTS.replace("\t", "  "))
    (tmp_path / "true").write_text(TRUE)
    out, best, summary = tmp_path / "out", tmp_path / "best", tmp_path / "summary.json"
    settings = [f"checkpoint={run.dir}", "format=nbest", f"out={out}", f"best={best}", f"summary={summary}"]
    done = call("score", *settings, f"file={tmp_path}/lists", f"reference={tmp_path}/true", "weight=auto")
    assert done.code == 0, done.err
    model = load(run.dir)
    rows = out.read_text().splitlines()
    assert [row.rpartition("\t")[0] for row in rows] == LISTS.splitlines()
    expected = [-sum(one.nats) for one in model.score([line.split("\t")[2] for line in LISTS.splitlines()])]
    assert [float(row.rpartition("\t")[2]) for row in rows] == pytest.approx(expected, abs=1e-4)
    found = json.loads(summary.read_text())
    assert (found["lists"], found["lines"], found["reference_words"]) == (2, 5, 6)
    rates = found["word_error_rate"]
    assert rates["first"] == 0
    assert rates["best_possible"] <= rates["chosen"]
    plain = call("score", *settings, f"file={tmp_path}/lists", "weight=0")
    assert plain.code == 0, plain.err
    kept = [line.split("\t")[2] for line in best.read_text().splitlines()]
    assert kept == ["the army here is", "it sad"]
    spaced = call("score", *settings[:2], f"file={tmp_path}/spaced")
    assert [row.split("\t")[-1] for row in spaced.out.splitlines()] == [row.split("\t")[-1] for row in rows]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\tthe army\n", "line 1 has no score"),
        ("a -1 x\n\nb y\n", "line 3 has no score"),
        ("a nan x\n", "line 1 has no score"),
        ("a -1 x\nb -1 y\na -2 z\n", "line 3: the id a returns after another one"),
    ],
)
def test_wrong_lists_get_their_sentence(content: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        list(read_nbest(enumerate(content.split("\n"), 1), "file"))


def test_an_id_that_is_twice_in_the_true_texts_is_refused() -> None:
    with pytest.raises(UserError, match="line 2: the id a is there twice"):
        read_references([(1, "a x"), (2, "a\ty")], "reference")


def test_settings_that_do_not_go_together(
    run: Run, call: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lists").write_text(LISTS)
    (tmp_path / "true").write_text(TRUE)
    asked = ["score", f"checkpoint={run.dir}", f"file={tmp_path}/lists"]
    assert "best is a setting of format=nbest" in call(*asked, f"best={tmp_path}/b").err
    assert "weight=auto needs the true texts: reference=FILE" in call(*asked, "format=nbest", "weight=auto").err
    assert "weight=nan: give a number" in call(*asked, "format=nbest", "weight=nan").err
    assert "weight=much: give a number, or auto" in call(*asked, "format=nbest", "weight=much").err
    monkeypatch.setitem(sys.modules, "jiwer", None)
    assert "pip install jiwer" in call(*asked, "format=nbest", f"reference={tmp_path}/true").err
