"""Every figure says how many of its tokens were unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, Done, Run

from lm.data.tokenisers import EOS, UNK
from lm.data.unknown_tokens import counted, warning
from lm.data.vocabulary import Vocab
from lm.data.vocabulary_choice import VocabularyChoice

SETTINGS = [*TINY, "trainer.limit_train_batches=4", "trainer.max_epochs=1", "accelerator=cpu"]
KNOWN = "the army said it is here\nit said the army is here\n" * 100
INVENTED = "zorp the blik army vuum\nthe said fnarg is here\n" * 30  # 4 of 12 tokens, `<eos>` included


@pytest.fixture
def run(tmp_path: Path, call: Callable[..., Done]) -> Run:
    for split, text in (("train", KNOWN), ("valid", KNOWN), ("test", INVENTED)):
        (tmp_path / split).write_text(text)
    files = [f"data.{split}={tmp_path}/{split}" for split in ("train", "valid", "test")]
    done = call("train", "data=text", *files, *SETTINGS, f"hydra.run.dir={tmp_path}/run")
    assert done.code == 0, done.err
    (tmp_path / "said").write_text(done.err + done.out)
    return Run(tmp_path / "run")


def test_a_run_counts_its_unknown_tokens(run: Run, tmp_path: Path) -> None:
    result, said = run.result, (tmp_path / "said").read_text()
    assert result["train"] == {"tokens": 1400, "unknown": 0}
    assert result["valid"]["unknown"] == result["valid"]["free_running"]["unknown"] == 0
    assert (result["test"]["tokens"], result["test"]["unknown"]) == (359, 119)  # the first token is not scored
    free = result["test"]["free_running"]
    assert free["unknown"] == pytest.approx(free["tokens"] * 4 / 12, abs=5)
    assert f"test text: 360 tokens, 120 unknown (33.3%), from {tmp_path}/test" in said
    assert "vocabulary: 8 words; model: " in said
    assert "epoch 1: valid perplexity" in said
    assert "over 359 tokens, 119 unknown (33.1%)" in said
    assert "read as <unk>: 33% of the test text." in said
    assert "on more text" in said


def test_evaluate_tells_them_apart(run: Run, tmp_path: Path, call: Callable[..., Done]) -> None:
    out, lines = tmp_path / "out.json", tmp_path / "lines.tsv"
    done = call("evaluate", f"checkpoint={run.dir}", f"out={out}", f"per_token={lines}")
    assert done.code == 0, done.err
    assert "over 359 tokens, 119 unknown (33.1%), perplexity" in done.out
    assert "compares with nothing of another vocabulary" in done.err
    figures, rows = json.loads(out.read_text()), [line.split("\t") for line in lines.read_text().splitlines()]
    assert [word for word, _, _ in rows] == INVENTED.replace("\n", f" {EOS} ").split()[1:]
    assert {word for word, _, known in rows if known == "0"} == {"zorp", "blik", "vuum", "fnarg"}
    known = [float(nats) for _, nats, known in rows if known == "1"]
    assert figures["unknown"] == len(rows) - len(known) == 119
    assert figures["perplexity_known"] == pytest.approx(2.718281828 ** (sum(known) / len(known)), rel=1e-4)


def test_words_read_freely_stand_beside_their_own_nats(run: Run, tmp_path: Path, call: Callable[..., Done]) -> None:
    lines = tmp_path / "lines.tsv"
    settings = ["evaluator=free_running", "evaluator.streams=3", "evaluator.window=5"]
    assert call("evaluate", f"checkpoint={run.dir}", f"per_token={lines}", *settings).code == 0
    rows = [line.split("\t") for line in lines.read_text().splitlines()]
    text = INVENTED.replace("\n", f" {EOS} ").split()
    assert [word for word, _, _ in rows[:15]] == text[1:6] + text[121:126] + text[241:246]
    assert all((known == "0") == (word in ("zorp", "blik", "vuum", "fnarg")) for word, _, known in rows)


def test_many_unknown_words_of_a_text_are_listed_in_part(run: Run, tmp_path: Path, call: Callable[..., Done]) -> None:
    text = tmp_path / "text"
    text.write_text(" ".join(f"word{i}" for i in range(50)))
    done = call("evaluate", f"checkpoint={run.dir}", f"text_file={text}")
    assert "scored as <unk>: word0 word1 " in done.err
    assert "word19 and 30 others" in done.err
    assert "text: " in done.out
    assert "over 51 tokens, 50 unknown (98.0%)" in done.out


def test_counts_in_words() -> None:
    assert counted(82_429, 4_794) == "82,429 tokens, 4,794 unknown (5.8%)"
    assert counted(100, 0) == "100 tokens, 0 unknown"
    assert counted(100, None) == "100 tokens"


@pytest.mark.parametrize(
    ("unknown", "writes", "expected"), [(5, False, None), (6, False, "6% of test"), (6, True, None), (100, True, None)]
)
def test_the_warning_begins_above_five_percent_of_words_that_the_text_does_not_write(
    unknown: int, writes: bool, expected: str | None
) -> None:
    said = warning(Vocab(["a", "b", EOS, UNK], writes_unk=writes), {"test": (100, unknown)})
    assert said is None if expected is None else expected in (said or "")


@pytest.mark.parametrize(
    ("choice", "ways"),
    [
        (VocabularyChoice(), "train on more text, or with data/tokeniser=bytes"),
        (VocabularyChoice(min_count=2), "train with a lower data.min_count, or on more text"),
        (VocabularyChoice(vocab_size=9), "train with a larger data.vocab_size, or on more text"),
        (VocabularyChoice(given=Vocab(["a", EOS, UNK])), "train without data.vocab_file and data.vocab_from, or with"),
        (None, "train with a lower data.min_count, or with a larger data.vocab_size, or on more text"),
    ],
)
def test_the_warning_names_what_can_help(choice: VocabularyChoice | None, ways: str) -> None:
    assert ways in (warning(Vocab(["a", EOS, UNK]), {"test": (10, 9)}, choice) or "")


def test_a_text_that_writes_unk_is_known_from_its_checkpoint(
    tmp_path: Path, train: Callable[..., Run], call: Callable[..., Done]
) -> None:
    (tmp_path / "text").write_text("the <unk> army said <unk>\n" * 200)
    run = train("data=text", f"data.train={tmp_path}/text", *SETTINGS)
    assert run.result["test"]["unknown"] > 0.3 * run.result["test"]["tokens"]
    done = call("evaluate", f"checkpoint={run.dir}")
    assert "unknown (33." in done.out
    assert "warning" not in done.err
