"""The benchmark runs, measures the right work, and its rivals do the same work."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import native_bf16
from torch import nn

from lm.data.encoding import encode
from lm.data.sources.text_files import TextFiles
from lm.studies.benchmark.card import DRY, MODELS, card, card_table
from lm.studies.benchmark.cells import CELLS, OWN_RATIOS, PLAIN, PLAIN_RATIOS, weights
from lm.studies.benchmark.growth import growth_table, row_of, variants
from lm.studies.benchmark.plain import PlainModel, PlainTraining, plain_reading
from lm.studies.benchmark.processes import Apart
from lm.studies.benchmark.recipes import RECIPE_RATIOS, Recipe, recipe_rows, recipes
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.suite import RATIOS, run, table
from lm.studies.benchmark.timing import Timing, interleaved, ratio
from lm.studies.benchmark.training import PlainRival, StepRival
from lm.system.errors import UserError

SMALL = Sizes(batch_size=2, window=3, embedding_size=4, hidden_size=5, vocab_size=40)


def test_rivals_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def slow_at_first() -> None:
        time.sleep(0.05 if order.count("a") == 0 else 0)
        order.append("a")

    found = interleaved({"a": slow_at_first, "b": lambda: order.append("b"), "c": lambda: 2.5}, rounds=3)
    assert order == ["a", "b"] * 4
    assert max(found["a"].rounds) < 0.05
    assert found["c"] == Timing((2.5, 2.5, 2.5))


def test_a_ratio_compares_within_rounds() -> None:
    slow, fast = Timing((4.0, 40.0, 6.0)), Timing((2.0, 20.0, 2.0))  # the second round was slow for both
    assert ratio(slow, fast) == 2.0
    assert slow.median == 6.0
    assert slow.per(2).median == 3.0


@pytest.mark.slow
def test_a_rival_in_a_process_of_its_own_measures_itself() -> None:
    with Apart(StepRival, SMALL, 1, "32-true") as rival:
        assert 0 < rival() < 10
        assert rival.peak_memory() > 50 * 2**20  # torch alone holds more
    with pytest.raises(RuntimeError, match="ended early"), Apart(PlainRival, SMALL, "many") as rival:
        rival()


def test_every_length_of_stream_and_text_is_a_row() -> None:
    rows = [row_of(what, [9.0, 2.0, 3.0], tokens=30, held=2**20) for what, *_ in variants(SMALL)]
    assert len({row["what"] for row in rows}) == len(rows) >= 12
    _, first, *rest = growth_table(rows).splitlines()
    assert first.split()[-6:] == ["3.000", "2.000", "9.000", "10", "1", "MB"]  # median, lowest, highest
    assert len(rest) == len(rows) - 1


@pytest.mark.parametrize("cell", ["lstm", *PLAIN])
def test_the_plain_loop_and_the_step_take_the_same_losses(cell: str) -> None:
    plain = PlainRival(SMALL, 1, recurrent=PLAIN.get(cell, nn.LSTM))
    ours = StepRival(SMALL, 1, "32-true", SMALL.model(CELLS[cell]))
    training: PlainTraining = plain.training
    model = ours.model
    training.model.embed.load_state_dict(model.embedding.state_dict())
    training.model.linear.load_state_dict(model.head.linear.state_dict())  # type: ignore[union-attr]
    training.model.recurrent.load_state_dict(
        {f"{name}_l0": part for name, part in model.layers[0].state_dict().items()}
    )
    plain(), ours()
    for mine, theirs in zip(model.layers[0].parameters(), training.model.recurrent.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)


def test_both_readers_give_the_same_ids(text_file: Path) -> None:
    ours = encode(TextFiles(text_file, text_file, text_file)).ids["train"]
    assert plain_reading(text_file).tolist() == ours.tolist()


@pytest.mark.slow
def test_every_ratio_of_the_contract_is_measured(tmp_path: Path) -> None:
    result = run(["training", "sampling"], rounds=1, windows=1, words=2, sizes=SMALL)
    of_other_sections = {"encode_vs_plain", "score_vs_one_by_one", "train_token_vs_plain", "imports_vs_lightning"}
    of_other_sections |= {"train_free_vs_plain", "dynamic_vs_plain", "two_ranks_vs_one", *RECIPE_RATIOS}
    assert set(result["ratios"]) == set(RATIOS) - of_other_sections - set(OWN_RATIOS) - set(PLAIN_RATIOS)
    assert all(value > 0 for value in result["ratios"].values())
    assert result["precision"] in ("32-true", "bf16-mixed")
    assert "step_vs_floor" in table(result)


def test_every_cell_is_timed_beside_the_lstm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without processes of their own for the plain loops, which take seconds to start."""
    monkeypatch.setattr("lm.studies.benchmark.cells.Apart", lambda make, *given: nullcontext(make(*given)))
    result = run(["cells"], rounds=1, windows=1, words=1, sizes=SMALL)
    names = {f"cell_{name}" for name in (*CELLS, "transformer", "gru_fp32", "rnn_fp32")} | {"plain_gru", "plain_rnn"}
    rows = {row["timing"]: row for row in result["cells"]}
    assert result["medians"].keys() == rows.keys() == names
    assert result["ratios"].keys() == OWN_RATIOS.keys() | PLAIN_RATIOS.keys()
    assert {"gru_vs_plain", "rnn_vs_plain", "gru_vs_lstm", "transformer_vs_lstm"} <= result["ratios"].keys()
    assert rows["cell_lstm"]["weights"] == 40 * 4 + 4 * 5 * (4 + 5 + 2) + 5 * 40 + 40
    for name, recurrent in PLAIN.items():
        plain = PlainModel(vocab_size=40, embedding_size=4, hidden_size=5, num_layers=1, recurrent=recurrent)
        assert sum(weight.numel() for weight in plain.parameters()) == rows[f"plain_{name}"]["weights"]
    for name, row in rows.items():
        assert row["tokens_per_second"] == SMALL.batch_size * SMALL.window / result["medians"][name]
        assert row["times_lstm"] == result["ratios"].get(f"{name.removeprefix('cell_')}_vs_lstm", row["times_lstm"])
    assert rows["cell_lstm"]["times_lstm"] == 1
    printed = table(result)
    assert all(sum(line.startswith(f"{row['cell']}  ") for line in printed.splitlines()) == 1 for row in rows.values())
    assert "gru_vs_plain" in printed


def test_the_transformer_has_about_as_many_weights_as_the_lstm() -> None:
    counts = weights(Sizes())
    assert counts["transformer"] == pytest.approx(counts["lstm"], rel=0.03)


def test_settings_that_leave_nothing_to_measure() -> None:
    with pytest.raises(UserError, match=r"sections=trainig: there is no such section. Did you mean training\?"):
        run(["trainig"], 1, 1, 1, SMALL)
    with pytest.raises(UserError, match="rounds must be at least 1; got 0"):
        run(["reading"], 0, 1, 1, SMALL)
    with pytest.raises(UserError, match=r"sizes.hidden_size must be at least 1; got 0"):
        Sizes(hidden_size=0)


def test_reading_leaves_nothing_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("lm.studies.benchmark.sections.TEXT_TOKENS", 1000)
    assert run(["reading"], rounds=1, windows=1, words=1, sizes=SMALL)["ratios"]["encode_vs_plain"] > 0
    assert not (tmp_path / "cache").exists()


def test_a_card_is_measured_beside_the_plain_loop_on_it(tmp_path: Path) -> None:
    """On the processor instead of a card, with tiny sizes."""
    result = card(torch.device("cpu"), DRY, tmp_path)
    assert result["medians"].keys() >= {"plain", "train", "train_fp32", "sample_plain", "sample_1"}
    assert result["ratios"].keys() >= {"train_vs_plain", "train_vs_plain_fp32", "sample_1_vs_plain"}
    assert [row["model"] for row in result["models"]] == list(MODELS)
    text = card_table(result)
    for row in result["models"]:
        assert row["train"]["seconds_an_epoch"] > 0
        assert row["model"] in text


def test_operations_are_those_of_the_products() -> None:
    # Forward: 2 operations a weight and token; backward: twice that.
    weights = 4 * 5 * (4 + 5) + 5 * 40
    assert SMALL.flops == 6 * weights * SMALL.batch_size * SMALL.window


SMALL_RECIPES = {
    name: Recipe(replace(SMALL, num_layers=2), dropout=0.2, tied=tied, locked=tied, weight_dropout=0.3, sampled=sampled)
    for name, tied, sampled in (("full", False, 0), ("tied", True, 0), ("sampled", True, 10))
}


@pytest.mark.parametrize("name", ["full", "tied"])
def test_the_usual_loop_of_a_recipe_has_the_same_losses(name: str) -> None:
    recipe = replace(SMALL_RECIPES[name], dropout=0.0, weight_dropout=0.0)
    plain, ours = recipe.plain(), recipe.model()
    plain.embed.weight.data.copy_(ours.embedding.weight)
    plain.linear.load_state_dict(ours.head.linear.state_dict())  # type: ignore[union-attr]
    for layer, other in zip(plain.layers, ours.layers, strict=True):
        layer.load_state_dict({f"{key}_l0": part for key, part in other.state_dict().items()})
    assert sum(part.numel() for part in plain.parameters()) == ours.parameter_count
    words, targets = torch.randint(40, (2, 3)), torch.randint(40, (2, 3))
    hidden, _ = ours(words, ours.initial_state(2))
    loss, _ = plain.loss(words, targets, plain.start(2))
    torch.testing.assert_close(loss, ours.head.nll(hidden, targets).mean())


def test_recipes_are_timed_beside_their_usual_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm.studies.benchmark.recipes.Apart", lambda make, *given: nullcontext(make(*given)))
    found = recipes(1, 1, "bf16-mixed" if native_bf16() else "32-true", SMALL_RECIPES)
    rows = recipe_rows(found, SMALL_RECIPES)
    assert [row["recipe"] for row in rows] == list(SMALL_RECIPES)
    assert {timing for row in rows for timing in row["timings"]} == found.keys()
    assert all(row["tokens_per_second"] == 6 / row["seconds"] and row["vs_plain"] > 0 for row in rows)


@pytest.mark.slow
def test_two_ranks_are_timed_beside_one_process() -> None:
    result = run(["ranks"], rounds=1, windows=1, words=1, sizes=SMALL)
    assert result["medians"].keys() == {"one_process", "two_ranks", "all_reduce"}
    assert result["ratios"].keys() == {"two_ranks_vs_one"}


def test_dynamic_evaluation_and_free_running_are_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in ("dynamic", "sections"):
        monkeypatch.setattr(f"lm.studies.benchmark.{module}.Apart", lambda make, *given: nullcontext(make(*given)))
    result = run(["dynamic", "tokens"], rounds=1, windows=1, words=1, sizes=SMALL)
    assert {"dynamic_vs_plain", "train_free_vs_plain", "train_token_vs_plain"} == result["ratios"].keys()
    assert "train_free_vs_plain" in table(result)
