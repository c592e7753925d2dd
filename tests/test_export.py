"""A model to ship: exact there and back, small, free of its machine, and a sentence for each damage."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from conftest import TINY, Done, Run, configure
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

import lm
from lm.config.build import build
from lm.data.tokenisers import BPE, EOS, UNK, Bytes, Characters, Punctuation, Tokeniser, Whitespace
from lm.data.vocabulary import Vocab
from lm.models.interfaces import LanguageModel
from lm.runs.checkpoint import FORMAT, read
from lm.runs.exported import CARD, CONFIG, TOKENIZER, VOCAB, WEIGHTS, portable
from lm.runs.trained import load
from lm.system.errors import UserError

WORDS = [EOS, UNK, *(f"w{i}" for i in range(38))]
SIZES = ["model.embedding_size=8", "model.hidden_size=8"]
MODELS = {
    "lstm": [],
    "tied": ["model.tied=true", "model.num_layers=2"],
    "adaptive": ["model/head=adaptive", "model.head.cutoffs=[10]"],
    "sampled": ["model/head=sampled", "model.head.frequent=10", "model.head.sampled=5"],
    "mos": ["model/head=mos", "model.head.experts=3"],
    "awd": ["model=awd_lstm"],
    "zaremba": ["model=zaremba"],
    "mogrifier": ["model=mogrifier", "model.cell.rank=2"],
    "transformer": ["model=transformer", "model.heads=2", "model.context=5"],
    "weights": ["model.hidden_size=null", "model.last_size=null", "model.weights=2000"],
    **{cell: [f"model/cell={cell}"] for cell in ("gru", "rnn", "qrnn", "min_gru", "min_lstm", "slstm")},
}


def checkpoint_of(file: Path, *overrides: str, vocab: Vocab | None = None) -> LanguageModel:
    """Write a checkpoint of an untrained model; returns the model."""
    vocab = vocab or Vocab(WORDS)
    config: Any = OmegaConf.to_container(configure("train", *SIZES, *overrides), resolve=True)
    torch.manual_seed(0)
    model: LanguageModel = build(config["model"], "model", {"vocab_size": len(vocab)})
    model.head.prepare(torch.randperm(len(vocab)) + 1)
    weights = {f"model.{name}": part for name, part in model.state_dict().items()}
    torch.save({"format": FORMAT, "config": config, "vocab": vocab.as_dict(), "state_dict": weights}, file)
    return model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back_is_exact(name: str, call: Callable[..., Done], tmp_path: Path) -> None:
    model = checkpoint_of(tmp_path / "a.ckpt", *MODELS[name])
    done = call("export", f"checkpoint={tmp_path / 'a.ckpt'}", f"out={tmp_path / 'out'}")
    assert done.code == 0, done.err
    again = load(tmp_path / "out")
    assert again.vocab == Vocab(WORDS)
    assert not again.model.training
    assert {*again.model.state_dict()} == {*model.state_dict()}
    for key, weight in model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[key]), key
    words = torch.randint(40, (2, 9))
    with torch.inference_mode():
        ours, theirs = (one.head.logits(one(words, one.initial_state(2))[0]) for one in (model, again.model))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("tokeniser", [Whitespace(lowercase=True), Characters(), Bytes(), Punctuation(), BPE(size=300)])
def test_every_tokeniser_comes_back(tokeniser: Tokeniser, call: Callable[..., Done], tmp_path: Path) -> None:
    if isinstance(tokeniser, BPE):
        pytest.importorskip("tokenizers")
    if isinstance(tokeniser, Punctuation):
        pytest.importorskip("sacremoses")
    text = "A cat isn't\na dog, is it?\n" * 9
    tokeniser = tokeniser.trained([text])
    own = tokeniser.own_words if tokeniser.brings_words else tokeniser.split(text)
    vocab = Vocab.from_words(own, tokeniser)
    checkpoint_of(tmp_path / "a.ckpt", vocab=vocab)
    assert call("export", f"checkpoint={tmp_path / 'a.ckpt'}", f"out={tmp_path / 'out'}").code == 0
    assert (tmp_path / "out" / TOKENIZER).is_file() == isinstance(tokeniser, BPE)
    again = load(tmp_path / "out").vocab
    assert again == vocab
    assert again.encode(text).tolist() == vocab.encode(text).tolist()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> tuple[Run, Path]:
    """A finished run and its exported model."""
    from lm.commands.export import export
    from lm.commands.train import train

    folder = tmp_path_factory.mktemp("shipped")
    (folder / "run").mkdir()
    small = ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_train_batches=5", "optim=adamw"]
    train(configure("train", *small), folder / "run")
    export(configure("export", f"checkpoint={folder / 'run'}", f"out={folder / 'out'}"))
    return Run(folder / "run"), folder / "out"


def test_the_folder_is_small_and_knows_nothing_of_its_machine(shipped: tuple[Run, Path], text_file: Path) -> None:
    run, out = shipped
    assert {file.name for file in out.iterdir()} == {WEIGHTS, VOCAB, CONFIG, CARD}
    weights = sum(part.numel() for part in load_file(out / WEIGHTS).values())
    assert weights == run.result["parameters"]
    assert (out / WEIGHTS).stat().st_size < 4 * weights + 2000
    assert (out / WEIGHTS).stat().st_size < (run.dir / "checkpoints/best.ckpt").stat().st_size / 2
    machine = [str(run.dir), str(text_file.parent), str(Path.cwd()), str(Path.home()), socket.gethostname()]
    machine += [run.result["provenance"]["device"], run.result["provenance"]["system"], getpass.getuser()]
    assert (out / WEIGHTS).stat().st_mode & 0o044 == (out / CARD).stat().st_mode & 0o044  # readable as the others are
    for file in out.iterdir():
        content = file.read_bytes()
        for one in machine:
            assert len(one) < 5 or one.encode() not in content, (file.name, one)


def test_the_card_has_the_figures_and_their_conventions(shipped: tuple[Run, Path], tmp_path: Path) -> None:
    run, out = shipped
    card, test = (out / CARD).read_text(), run.result["test"]
    assert (
        f"| test | {test['perplexity']:.2f} | {test['nats']:.1f} | {test['tokens']:,} | {test['unknown']:,} |" in card
    )
    assert "one unbroken stream" in card
    assert f"{run.result['parameters']:,} weights" in card
    checkpoint_of(tmp_path / "a.ckpt")
    from lm.commands.export import export

    export(configure("export", f"checkpoint={tmp_path / 'a.ckpt'}", f"out={tmp_path / 'out'}"))
    assert "Not known" in (tmp_path / "out" / CARD).read_text()


def test_every_command_takes_the_folder(
    shipped: tuple[Run, Path], call: Callable[..., Done], text_file: Path, tmp_path: Path
) -> None:
    run, out = shipped
    lines = tmp_path / "lines.txt"
    lines.write_text("w1 w2\nw3\n")
    for root, *more in (
        ("sample", "prompt=w1 w2", "sampler.max_new_tokens=5"),
        ("evaluate", "text=w1 w2 w3"),
        ("evaluate", "split=test", f"data_from={text_file.parent}"),
        ("score", f"file={lines}"),
        ("distance", "words=[w1,w2]", f"data_from={text_file.parent}"),
    ):
        given = [f"{setting}" for setting in more]
        before, after = (call(root, f"checkpoint={path}", *given) for path in (run.dir, out))
        assert (before.code, after.code) == (0, 0), after.err
        assert before.out == after.out, root
    assert lm.load(out).sample("w1", max_new_tokens=3) == lm.load(run.dir).sample("w1", max_new_tokens=3)


def test_training_goes_on_from_its_weights_and_not_from_itself(
    shipped: tuple[Run, Path], train: Callable[..., Run], call: Callable[..., Done], text_file: Path
) -> None:
    run, out = shipped
    small = ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_train_batches=2"]
    ours = train(*small, f"weights_from={out}", name="ours")
    theirs = train(*small, f"weights_from={run.dir}", name="theirs")
    assert ours.curve() == theirs.curve()
    done = call("train", f"checkpoint={out}")
    assert done.code == 1
    assert "lacks what training needs to resume" in done.err
    assert f"weights_from={out}" in done.err


def damage_weights(out: Path) -> None:
    content = (out / WEIGHTS).read_bytes()
    (out / WEIGHTS).write_bytes(content[: len(content) // 2])


def foreign_weights(out: Path) -> None:
    save_file({"bert.encoder.weight": torch.zeros(3)}, out / WEIGHTS)


def other_model(out: Path) -> None:
    weights = load_file(out / WEIGHTS)
    save_file({"embedding.weight": weights["embedding.weight"].clone()}, out / WEIGHTS)


def other_words(out: Path) -> None:
    vocab = json.loads((out / VOCAB).read_text())
    vocab["words"].append("one-more")
    (out / VOCAB).write_text(json.dumps(vocab))


def no_words(out: Path) -> None:
    (out / VOCAB).write_text("[]")


def later_format(out: Path) -> None:
    config = json.loads((out / CONFIG).read_text())
    (out / CONFIG).write_text(json.dumps({**config, "format": FORMAT + 1}))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_weights, "is damaged, cut short, or no safetensors file"),
        (foreign_weights, "do not fit the model that it describes"),
        (other_model, "do not fit the model that it describes"),
        (other_words, r"has 41 words, but the weights in model.safetensors are for 40"),
        (no_words, "it is not a JSON object"),
        (later_format, "this version cannot read it"),
        (lambda out: (out / CARD).unlink(), r"README.md \(the model card.*\) is missing"),
        (lambda out: (out / VOCAB).unlink(), "vocab.json .* is missing"),
        (lambda out: (out / CONFIG).write_text("{"), "config.json is damaged"),
        (lambda out: (out / CONFIG).write_text('{"config": {}}'), "it has no settings of a model and its text"),
    ],
)
def test_each_damage_has_its_sentence(
    damage: Callable[[Path], None], sentence: str, call: Callable[..., Done], tmp_path: Path
) -> None:
    checkpoint_of(tmp_path / "a.ckpt")
    out = tmp_path / "out"
    call("export", f"checkpoint={tmp_path / 'a.ckpt'}", f"out={out}")
    damage(out)
    with pytest.raises(UserError, match=sentence):
        load(out)
    done = call("sample", f"checkpoint={out}")
    assert done.code == 1
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["out={out}"], "checkpoint is missing"),
        (["checkpoint={file}"], "out is missing"),
        (["checkpoint={file}", "out={folder}"], "is not an empty folder; nothing is overwritten"),
        (["checkpoint={file}", "out={file}"], "is not an empty folder; nothing is overwritten"),
        (["checkpoint={file}", "out={out}", "format=onx"], "format=onx: there is no such format. Did you mean onnx?"),
        (["checkpoint={folder}/none", "out={out}"], "does not exist"),
    ],
)
def test_mistakes_get_a_sentence(
    arguments: list[str], sentence: str, call: Callable[..., Done], tmp_path: Path
) -> None:
    checkpoint_of(tmp_path / "a.ckpt")
    places = {"file": tmp_path / "a.ckpt", "folder": tmp_path, "out": tmp_path / "out"}
    done = call("export", *(argument.format(**places) for argument in arguments))
    assert done.code == 1
    assert sentence in done.err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_an_export_of_an_export_is_the_same(
    shipped: tuple[Run, Path], call: Callable[..., Done], tmp_path: Path
) -> None:
    _, out = shipped
    assert call("export", f"checkpoint={out}", f"out={tmp_path / 'again'}").code == 0
    for file in out.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_folder_that_could_not_be_written_is_free_for_the_next_try(
    call: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint_of(tmp_path / "a.ckpt")
    command = ("export", f"checkpoint={tmp_path / 'a.ckpt'}", f"out={tmp_path / 'out'}")
    with monkeypatch.context() as broken:
        broken.setattr("lm.runs.exported.save", Mock(side_effect=RuntimeError("no luck")))
        done = call(*command)
    assert done.code == 1
    assert "cannot be written as safetensors: no luck" in done.err
    assert call(*command).code == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"train": ["/home/ann/a.txt", "b/c.txt"], "valid": "x/*.txt", "test": None}, ["a.txt", "c.txt"]),
        ({"vocab_from": "runs/secret/quick"}, "quick"),
        ({"train": "C:\\Users\\ann\\a.txt"}, "a.txt"),
        ({"train": "\\\\server\\share\\a.txt"}, "a.txt"),
        ({"tokeniser": {"_target_": "lm.data.tokenisers.File", "path": "/home/ann/tokenizer.json"}}, None),
        ({"own": "file:///home/ann/x.txt"}, "x.txt"),
        ({"train": str(Path.home())}, ""),
    ],
)
def test_of_a_path_only_the_last_name_is_kept(given: dict[str, Any], kept: Any) -> None:
    found = portable({"data": given, "model": {"vectors": "/home/ann/v.bin"}, "callbacks": {"at": "/home/ann"}})
    assert "ann" not in json.dumps(found)
    assert "secret" not in json.dumps(found)
    assert found["model"] == {"vectors": "v.bin"}
    if kept is not None:
        assert next(iter(found["data"].values())) == kept


def test_a_checkpoint_and_its_export_are_read_alike(shipped: tuple[Run, Path]) -> None:
    run, out = shipped
    before, after = read(run.dir / "checkpoints/best.ckpt"), read(out / WEIGHTS)
    assert after["vocab"] == before["vocab"]
    assert after["tokens"] == before["tokens"]
    assert after["config"]["model"] == before["config"]["model"]
    assert after["provenance"]["data"] == before["provenance"]["data"]
