"""The command line: free text, misspelt settings, and the scripts as a user calls them."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Done, Run, configure
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lm.cli.arguments import for_hydra, group_choice, quote
from lm.commands.distance import distance as distances
from lm.commands.evaluate import evaluate
from lm.commands.sample import sample
from lm.config.build import build
from lm.config.hydra_job import checked, containers, output_folder, refuse_unknown_keys
from lm.config.schemas import SCHEMAS
from lm.system.bounds import annotations_of
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


def through_hydra(argument: str, sweeping: bool = False) -> Any:
    """The value that arrives in a configuration; in a sweep, the list of values."""
    value = PARSER.parse_override(quote(argument, sweeping)).value()
    if not sweeping:
        cfg = OmegaConf.create({"it": value})
        assert isinstance(value, list) or cfg.it == containers(cfg)["it"]
        return containers(cfg)["it"]
    assert isinstance(value, ChoiceSweep)
    return [unquoted(one) for one in value.list]


def unquoted(value: Any) -> Any:
    if isinstance(value, list):
        return [unquoted(one) for one in value]
    return value.text if isinstance(value, QuotedString) else value


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30))
@example("null")
@example("???")
@example("true")
@example("'the company said'")
@example('"the company said"')
@example('"the" company "said"')
@example("${seed} and \\${seed}")
@example("a, b")
@example("\\")
def test_free_text_arrives_as_it_was_typed(text: str) -> None:
    assert through_hydra(f"prompt={text}") == text


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("words=[army,taxpayer]", ["army", "taxpayer"]),
        ("words=[n't,<unk>]", ["n't", "<unk>"]),
        ("words=[true,null]", ["true", "null"]),
        ("words=[$,N, '1']", ["$", "N", "1"]),
        ("words=['a, b',c]", ["a, b", "c"]),
        ('words=["a,b","c"]', ["a,b", "c"]),
        ("words=['',the,\",']", ["''", "the", '"', "'"]),
        ("words=[???,'???',${seed}]", ["???", "???", "${seed}"]),
        ("sampler.bad_words=[<unk>]", ["<unk>"]),
        ("prompts=[the company,it's]", ["the company", "it's"]),
    ],
)
def test_words_are_words(typed: str, words: list[str]) -> None:
    assert through_hydra(typed) == words


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("prompt=the company,it's", ["the company", "it's"]),
        ("prompt=null,'a, b'", ["null", "a, b"]),
        ("checkpoint=runs/a (1),null", ["runs/a (1)", None]),
        ("words=[a,b],[c,d]", [["a", "b"], ["c", "d"]]),
        ("prompt=choice(a,b)", ["a", "b"]),
    ],
)
def test_in_a_sweep_a_comma_separates_values(typed: str, values: list[Any]) -> None:
    assert through_hydra(typed, sweeping=True) == values


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("checkpoint=null", None),
        ("data.train='my book.txt'", "my book.txt"),
        ('out="a, b.json"', "a, b.json"),
        ("weights_from=a 'b' c", "a 'b' c"),
        ("checkpoint='a' or 'b'", "'a' or 'b'"),
        ("checkpoint=a/epoch=0-step=10.ckpt", "a/epoch=0-step=10.ckpt"),
        ("runs=[läufe/a (1),it's]", ["läufe/a (1)", "it's"]),
    ],
)
def test_null_is_no_path_and_quotes_around_a_path_are_hydras(typed: str, path: Any) -> None:
    assert through_hydra(typed) == path


@pytest.mark.parametrize(
    ("root", "setting"),
    [("evaluate", "text"), ("sample", "prompt"), ("evaluate", "out"), ("train", "weights_from")],
)
@pytest.mark.parametrize("text", ["???", '"the" company "said"', "it's, (a) # {b}"])
def test_a_command_gets_the_text(call: Callable[..., Done], root: str, setting: str, text: str, tmp_path: Path) -> None:
    got = []
    folder = [f"hydra.run.dir={tmp_path}/r"] if root == "train" else []
    done = call(root, f"{setting}={text}", *folder, task=lambda cfg: got.append((cfg[setting], checked(cfg)[setting])))
    assert done.code == 0, done.err
    assert got == [(text, text)]


def test_other_settings_are_left_alone() -> None:
    for argument in ("model.hidden_size=3", "+experiment=no_tf", "seed=1,2", "out='it'", "checkpoint=null", "~logger"):
        assert quote(argument) == argument


@pytest.mark.parametrize(
    "name", ["a (1)", "it's", "a#b", "a,b", "läufe", "a=b, {c}", "'x' y", "[z]", "${now:%Y}/a (1)"]
)
def test_a_run_or_sweep_goes_into_the_folder_that_was_typed(
    call: Callable[..., Done], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    got: list[Path] = []
    wanted = tmp_path / name.replace("${now:%Y}", time.strftime("%Y"))
    done = call("train", f"hydra.run.dir={name}", task=lambda cfg: got.append(output_folder()))
    assert done.code == 0, done.err
    several = ["-m", "seed=1,2", f"hydra.sweep.dir={name}", "hydra.sweep.subdir=seed ${seed} (x)"]
    done = call("train", *several, "hydra.callbacks.table.report=false", task=lambda cfg: got.append(output_folder()))
    assert done.code == 0, done.err
    assert got == [wanted, wanted / "seed 1 (x)", wanted / "seed 2 (x)"]


def test_a_folder_of_the_users_home(call: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    call("train", "hydra.run.dir=~/a (1)", task=lambda cfg: None)
    assert (tmp_path / "a (1)" / ".hydra").is_dir()


def test_null_takes_a_group_out_where_a_run_can_do_without() -> None:
    assert group_choice("logger=null") == "~logger"
    assert group_choice("callbacks=null") == "~callbacks"
    for setting in ("logger=tensorboard", "checkpoint=null", "optim.average=null", "prompt=null"):
        assert group_choice(setting) == setting


def test_streams_that_are_closed_or_know_few_letters_take_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", None)
    usable_streams()
    print("läuft")
    print("lost", file=sys.stderr)
    sys.stdout.flush()
    assert written.getvalue() == b"l\\xe4uft\n"


def test_hydras_options_can_be_anywhere() -> None:
    typed = ["seed=1", "--config-dir", "mine", "--multirun", "data=text", "--cfg=job"]
    assert for_hydra(typed, "evaluate") == ["--config-dir", "mine", "-m", "--cfg=job", "seed=1", "data=text"]
    assert for_hydra(["--info", "seed=1"], "train") == ["--info", "seed=1"]
    assert for_hydra(["--info", "plugins", "seed=1"], "train") == ["--info", "plugins", "seed=1"]


# Keys that no command knows


@pytest.mark.parametrize(
    ("root", "added"),
    [
        ("train", ["+callbacks.mine={_target_:a.B,size:3}", "+logger.mine._target_=a.B", "+experiment=no_tf"]),
        ("train", ["+sampler.own=1", "+data.own=1", "+optim.schedule.own=1", "+trainer.sync_batchnorm=true"]),
        ("train", ["~logger", "~callbacks", "free_running=null"]),
        ("sample", ["+sampler.own=1", "sampler._target_=a.B"]),
        ("evaluate", ["+evaluator.own=1"]),
        ("benchmark", ["+sizes.own=1"]),
    ],
)
def test_what_a_class_gets_is_left_to_it(root: str, added: list[str]) -> None:
    refuse_unknown_keys(configure(root, *added))


@pytest.mark.parametrize("root", sorted(SCHEMAS))
def test_a_key_that_a_command_does_not_have_is_refused(root: str) -> None:
    refuse_unknown_keys(configure(root))
    with pytest.raises(UserError, match=r"^foo: there is no such group or setting"):
        refuse_unknown_keys(configure(root, "+foo=1"))
    for part, schema in annotations_of(SCHEMAS[root]).items():
        if part == "accelerator" or is_dataclass(schema):
            with pytest.raises(UserError, match=rf"^{part}\.foo\b.* is .*setting"):
                refuse_unknown_keys(configure(root, f"+{part}.foo=1"))


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
    run = train("data=text", f"data.train={text}", "data/tokeniser=characters", *TINY, "trainer.limit_train_batches=1")
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
