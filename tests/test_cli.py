"""The command line: free text, misspelt settings, and the scripts as a user calls them."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Run, configure
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from lm.cli.arguments import quote, without_group
from lm.commands.distance import distance as distances
from lm.commands.evaluate import evaluate
from lm.commands.sample import sample
from lm.config.build import build
from lm.system.errors import UserError
from lm.system.terminal import usable_streams

ROOT = Path(__file__).parent.parent
PARSER = OverridesParser.create()


def shell(*arguments: str, expect: int = 0, **settings: Any) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=settings.pop("cwd", ROOT), **settings
    )
    assert done.returncode == expect, done.stderr
    return done


# Free text against Hydra's grammar


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30))
def test_free_text_arrives_as_it_was_typed(text: str) -> None:
    already_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if already_quoted or text in ("null", "???") or "${" in text:
        return
    assert PARSER.parse_override(quote(f"prompt={text}")).value() == text


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("words=[army,taxpayer]", ["army", "taxpayer"]),
        ("words=[n't,<unk>]", ["n't", "<unk>"]),
        ("words=[true,null]", ["true", "null"]),
        ("words=[$,N, '1']", ["$", "N", "1"]),
    ],
)
def test_words_are_words(typed: str, words: list[str]) -> None:
    assert PARSER.parse_override(quote(typed)).value() == words
    assert list(configure("distance", quote(typed)).words) == words


def test_other_settings_are_left_alone() -> None:
    for argument in ("model.hidden_size=3", "+experiment=no_tf", "seed=1,2", "prompt='it'", "prompt=null", "-m"):
        assert quote(argument) == argument


def test_null_takes_a_group_out_where_a_run_can_do_without() -> None:
    assert without_group("logger=null") == "~logger"
    assert without_group("callbacks=null") == "~callbacks"
    for setting in ("logger=tensorboard", "checkpoint=null", "optim.average=null", "prompt=null"):
        assert without_group(setting) == setting


def test_a_path_with_other_letters_is_a_path() -> None:
    assert quote("hydra.run.dir=läufe") == "hydra.run.dir='läufe'"


def test_streams_that_are_closed_or_know_few_letters_take_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", None)
    usable_streams()
    print("läuft")
    print("lost", file=sys.stderr)
    sys.stdout.flush()
    assert written.getvalue() == b"l\\xe4uft\n"


def test_a_path_with_an_equals_sign_is_a_path() -> None:
    assert configure("sample", quote("checkpoint=a/epoch=0-step=10.ckpt")).checkpoint == "a/epoch=0-step=10.ckpt"


# Configuration against code


class Target:
    def __init__(self, size: int, rate: float = 0.1, name: str | None = None, pair: tuple[int, int] = (1, 2)) -> None:
        self.size, self.rate, self.name, self.pair = size, rate, name, pair


def node(**settings: Any) -> dict[str, Any]:
    return {"_target_": "test_cli.Target", **settings}


def test_build_calls_the_target_with_its_settings_and_what_is_at_hand() -> None:
    made = build(node(rate=1, pair=[3, 4]), "group", {"size": 7, "unwanted": None})
    assert (made.size, made.rate, made.pair) == (7, 1.0, (3, 4))
    assert type(made.rate) is float


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"siez": 1}, r"group\.siez is not a setting of group\. Did you mean size\?"),
        ({"size": "x"}, r"group\.size must be a whole number; got 'x'"),
        ({"size": True}, r"group\.size must be a whole number"),
        ({"size": 1.5}, r"group\.size must be a whole number"),
        ({"size": 1, "name": 3}, r"group\.name must be text or null"),
        ({"size": 1, "pair": [1]}, r"group\.pair must be a list"),
        ({}, r"group\.size is missing"),
        ({"size": "???"}, r"group\.size is missing"),
        ({"size": 1, "_target_": "lm.no.such"}, r"there is no lm\.no\.such"),
    ],
)
def test_build_names_what_does_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build({"_target_": "test_cli.Target", **settings}, "group")


# The scripts


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lm.commands.train import train

    folder = tmp_path_factory.mktemp("epoch=1, it's a run")
    text = folder / "text.txt"
    text.write_text("the company said it is n't <unk> .\nthe army said no .\n" * 60)
    overrides = [quote(f"data.train={text}"), "data=text", *TINY]
    train(configure("train", *overrides), folder)
    return folder


def checkpoint(run_dir: Path) -> str:
    return quote(f"checkpoint={run_dir}")


def test_sample_prints_text_and_nothing_else(run_dir: Path, tmp_path: Path) -> None:
    arguments = [f"checkpoint={run_dir}", "prompt=the army", "sampler.max_new_tokens=5"]
    arguments += ["sampler.num_return_sequences=2", "seed=3"]
    first = shell(str(ROOT / "scripts/sample.py"), *arguments, cwd=tmp_path).stdout
    assert first == shell(str(ROOT / "scripts/sample.py"), *arguments, cwd=tmp_path).stdout
    sequences = first.rstrip("\n").split("\n---\n")
    assert len(sequences) == 2
    assert all(text.startswith("the army") for text in sequences)
    assert list(tmp_path.iterdir()) == []  # it makes no folders


def test_sample_from_a_file_and_without_a_prompt(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompt").write_text("it is n't <unk>\n")
    settings = [checkpoint(run_dir), "sampler=greedy", "sampler.max_new_tokens=4"]
    sample(configure("sample", *settings, f"prompt_file={tmp_path / 'prompt'}"))
    assert capsys.readouterr().out.startswith("it is n't <unk>")
    sample(configure("sample", *settings))
    assert len(capsys.readouterr().out.split()) in range(5)
    with pytest.raises(UserError, match=r"'armi' is not among .*Did you mean army"):
        sample(configure("sample", *settings, "prompt=the armi"))


def test_evaluate_agrees_with_the_run_and_its_parts_with_the_whole(run_dir: Path, tmp_path: Path) -> None:
    out, tokens = tmp_path / "out.json", tmp_path / "tokens.tsv"
    evaluate(configure("evaluate", checkpoint(run_dir), f"out={out}", f"per_token={tokens}", "accelerator=cpu"))
    result, reported = json.loads(out.read_text()), Run(run_dir).result["test"]
    assert result["evaluator"] == "static"
    assert result["split"] == "test"
    assert result["tokens"] == reported["tokens"]
    assert result["nats"] == pytest.approx(reported["nats"], rel=1e-6)
    assert result["perplexity"] == pytest.approx(math.exp(result["nats"] / result["tokens"]))
    lines = [line.split("\t") for line in tokens.read_text().splitlines()]
    assert len(lines) == result["tokens"]
    assert sum(float(nats) for _, nats, _ in lines) == pytest.approx(result["nats"], rel=1e-5)
    assert sum(known == "0" for _, _, known in lines) == result["unknown"] == reported["unknown"]
    assert lines[0][0] != lines[1][0]


def test_a_sentence_is_scored_from_its_first_word_on(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    evaluate(configure("evaluate", checkpoint(run_dir), quote("text=the army, said zebra"), f"out={out}"))
    printed = capsys.readouterr()
    assert json.loads(out.read_text())["tokens"] == 4
    assert [line.split("\t")[0] for line in printed.out.splitlines()[:4]] == ["the", "army,", "said", "zebra"]
    assert [line.split("\t")[2] for line in printed.out.splitlines()[:4]] == ["1", "0", "1", "0"]
    assert "army, zebra" in printed.err
    file = tmp_path / "text"
    file.write_text("the army\n")
    evaluate(configure("evaluate", checkpoint(run_dir), f"text_file={file}", f"out={out}"))
    assert json.loads(out.read_text())["tokens"] == 3  # a line end is `<eos>`
    file.write_text("the army")
    evaluate(configure("evaluate", checkpoint(run_dir), f"text_file={file}", f"out={out}"))
    assert json.loads(out.read_text())["tokens"] == 3  # as in a corpus, the last line has an end


def test_characters_are_told_of_as_characters(
    train: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, tokens = tmp_path / "text.txt", tmp_path / "tokens.tsv"
    text.write_text("a\tb c \n" * 200)
    run = train("data=text", f"data.train={text}", "data.unit=character", *TINY, "trainer.limit_train_batches=1")
    evaluate(configure("evaluate", checkpoint(run.dir), f"per_token={tokens}", "accelerator=cpu"))
    lines = [line.split("\t") for line in tokens.read_text().splitlines()]
    assert {word for word, _, _ in lines} == {"a", "b", "c", " ", "\\t", "<eos>"}
    with pytest.raises(UserError, match=r"'x' is not among the \d+ characters of this model.*Leave it out"):
        sample(configure("sample", checkpoint(run.dir), "prompt=x"))


def test_distances_of_a_checkpoint(run_dir: Path, tmp_path: Path) -> None:
    from lm.runs.trained import load

    out = tmp_path / "out.json"
    distances(configure("distance", checkpoint(run_dir), quote("words=[army,n't,<unk>]"), f"out={out}"))
    written = json.loads(out.read_text())
    assert [pair["words"] for pair in written["pairs"]] == [["army", "n't"], ["army", "<unk>"], ["n't", "<unk>"]]
    trained = load(run_dir)
    a, b = (trained.model.embedding.weight[trained.vocab.id(word)] for word in ("army", "n't"))
    assert written["pairs"][0]["euclidean"] == pytest.approx((a - b).norm().item(), rel=1e-5)
    cosine = 1 - (a @ b / a.norm() / b.norm()).item()
    assert written["pairs"][0]["cosine"] == pytest.approx(cosine, abs=1e-5)
    with pytest.raises(UserError, match="Did you mean army"):
        distances(configure("distance", checkpoint(run_dir), quote("words=[armee,the]")))
    with pytest.raises(UserError, match="two or more different words"):
        distances(configure("distance", checkpoint(run_dir), "words=[the,the]"))


def test_a_script_without_a_checkpoint_says_so() -> None:
    done = shell("scripts/evaluate.py", expect=1)
    assert done.stderr.strip() == (
        "error: checkpoint is missing; name a checkpoint file or a run's folder: checkpoint=PATH"
    )
