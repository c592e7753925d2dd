"""A vocabulary that is given: by a file, or by another run whose model goes on with another text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, Done, Run, resume

from lm.data.tokenisers import EOS, UNK, Characters, Whitespace
from lm.data.vocabulary import read_vocab
from lm.runs.trained import load
from lm.system.errors import UserError

SETTINGS = [*TINY, "trainer.limit_train_batches=4", "trainer.max_epochs=1", "accelerator=cpu", "free_running=null"]
NEWS = "the army said it is here\nit said the army is here\n" * 100
LAW = "the court said it is void\nthe army is here said it\n" * 100


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "news").write_text(NEWS)
    (tmp_path / "law").write_text(LAW)
    return tmp_path / "news", tmp_path / "law"


def test_a_model_goes_on_with_another_text(
    files: tuple[Path, Path], train: Callable[..., Run], call: Callable[..., Done], tmp_path: Path
) -> None:
    first = train("data=text", f"data.train={files[0]}", *SETTINGS, name="first")
    folder = tmp_path / "second"
    settings = ["data=text", f"data.train={files[1]}", *SETTINGS, f"hydra.run.dir={folder}"]
    done = call("train", *settings, f"weights_from={first.dir}")
    assert "trained with another vocabulary" in done.err
    assert "data.vocab_from" in done.err
    done = call("train", *settings, f"data.vocab_from={first.dir}", f"weights_from={first.dir}")
    assert done.code == 0, done.err
    second = Run(folder)
    assert load(folder).vocab.words == load(first.dir).vocab.words
    assert second.result["test"]["unknown"] / second.result["test"]["tokens"] == pytest.approx(2 / 14, abs=0.02)
    assert "read as <unk>: 14% of the train text" in done.err


def test_such_a_run_needs_the_other_no_more(
    files: tuple[Path, Path], train: Callable[..., Run], tmp_path: Path
) -> None:
    first = train("data=text", f"data.train={files[0]}", *SETTINGS, name="first")
    second = train("data=text", f"data.train={files[1]}", *SETTINGS, f"data.vocab_from={first.dir}", name="second")
    first.dir.rename(tmp_path / "gone")
    assert len(load(second.dir).split_ids("test")) == second.result["test"]["tokens"] + 1
    resumed = resume(second.dir, "checkpoint=last", "trainer.max_epochs=2")
    assert resumed.result["resumed_at"] == [4]


def test_a_vocabulary_from_a_file(files: tuple[Path, Path], train: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "words").write_text("the\r\narmy\r\nsaid\r\nit\r\nis")
    run = train("data=text", f"data.train={files[0]}", f"data.vocab_file={tmp_path}/words", *SETTINGS)
    assert load(run.dir).vocab.words == ("the", "army", "said", "it", "is", EOS, UNK)
    assert run.result["train"]["unknown"] == pytest.approx(run.result["train"]["tokens"] / 7, rel=0.02)  # `here`
    (tmp_path / "words").unlink()
    assert len(load(run.dir).split_ids("test")) == run.result["test"]["tokens"] + 1
    (tmp_path / "words").write_text("the\narmy\n")
    with pytest.raises(UserError, match=r"data\.min_count choose a vocabulary, but one is given"):
        train("data=text", f"data.train={files[0]}", f"data.vocab_file={tmp_path}/words", "data.min_count=2", name="no")


def test_words_that_are_given_say_nothing_about_unk_in_this_text(
    files: tuple[Path, Path], train: Callable[..., Run], call: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "words").write_text(f"the\nsaid\n{EOS}\n{UNK}\n")
    (tmp_path / "writes").write_text("the <unk> said\n" * 300)
    donor = train("data=text", f"data.train={tmp_path}/writes", *SETTINGS, name="donor")
    assert load(donor.dir).vocab.writes_unk
    for number, given in enumerate((f"data.vocab_file={tmp_path}/words", f"data.vocab_from={donor.dir}")):
        folder = tmp_path / f"run{number}"
        done = call("train", "data=text", f"data.train={files[0]}", given, *SETTINGS, f"hydra.run.dir={folder}")
        assert done.code == 0, done.err
        assert "warning: out of vocabulary" in done.err
        assert not load(folder).vocab.writes_unk
    with pytest.raises(UserError, match=r"choose data/tokeniser=whitespace"):
        train("data=text", f"data.train={files[0]}", given, "data/tokeniser=characters", *SETTINGS, name="no")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\n", "fewer than two words"),
        ("", "fewer than two words"),
        ("a\nb\na\n", r"words, line 3 repeats 'a' of line 1"),
        ("a\nb c\n", r"words, line 2 is not one word: 'b c'"),
        ("a\n\nb\n", r"words, line 2 is not one word: ''"),
        (None, r"cannot read .*words: No such file"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "words").write_text(content)
    with pytest.raises(UserError, match=said):
        read_vocab(tmp_path / "words", Whitespace())


def test_a_space_is_a_character_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text(f"a\n \n{EOS}\n{UNK[0]}\n{UNK}\n")
    assert read_vocab(tmp_path / "letters", Characters()).words == ("a", " ", EOS, "<", UNK)
