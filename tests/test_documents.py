"""Texts of documents: each is read from the first state and scored from its first word on."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, Done, Run, resume, stacked
from hypothesis import given
from hypothesis import strategies as st

from lm.data.documents import MARK, Ids, starts_of
from lm.data.encoding import encode
from lm.data.sources.text_files import TextFiles
from lm.data.streams import Windows, one_stream, to_streams
from lm.evaluation import Cache, Dynamic, Evaluator, FreeRunning, Static, evaluate
from lm.models import RecurrentLanguageModel
from lm.models.cells import Mogrifier
from lm.models.interfaces import LanguageModel
from lm.runs.trained import load
from lm.system.errors import UserError

WORDS = ["a", "b", "c", "d", "e", "f", "g", "h"]
SHORT = [*TINY, "trainer.limit_train_batches=5", "trainer.max_epochs=1", "accelerator=cpu", "free_running.limit=5"]


def document(seed: int, lines: int = 3) -> str:
    drawn = np.random.default_rng(seed)
    rows = (" ".join(drawn.choice(WORDS, drawn.integers(1, 9))) for _ in range(lines))
    return "".join(f"{row}\n" for row in rows)


DOCUMENTS = [document(seed, lines=1 + seed % 5) for seed in range(80)]


@pytest.fixture
def lines(tmp_path: Path) -> dict[str, Path]:
    """JSON Lines of each split."""
    cuts = {"train": DOCUMENTS[:60], "valid": DOCUMENTS[60:70], "test": DOCUMENTS[70:]}
    for split, documents in cuts.items():
        rows = [json.dumps({"text": text.removesuffix("\n")}) for text in [*documents, ""]]  # an empty one is none
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    return {split: tmp_path / f"{split}.jsonl" for split in cuts}


def settings(lines: dict[str, Path]) -> list[str]:
    named = [f"data.{split}={path}" for split, path in lines.items()]
    return ["data=text", *named, "data.field=text", "data.documents=true"]


@given(st.data(), st.integers(1, 4), st.integers(1, 7))
def test_windows_say_where_documents_begin(data: st.DataObject, batch: int, window: int) -> None:
    length = data.draw(st.integers(batch * (window + 1), 80))
    starts = sorted(data.draw(st.sets(st.integers(0, length - 1), max_size=12)))
    ids = Ids(np.arange(length), np.array(starts, np.int64))
    begins = to_streams(np.isin(np.arange(length), starts), batch)
    begins[:, 0] = True  # the first state of each stream
    for k, one in enumerate(Windows(ids, batch, window)):
        assert np.array_equal(one.reset, begins[:, k * window : (k + 1) * window])
    found = np.concatenate([one.reset[0] for one in one_stream(ids, window)])
    assert found.tolist() == [k in {0, *starts} for k in range(length - 1)]


@given(st.sets(st.integers(0, 29)), st.integers(0, 30), st.integers(0, 30))
def test_a_part_of_a_text_keeps_its_documents(starts: set[int], first: int, end: int) -> None:
    ids = Ids(np.arange(30), np.array(sorted(starts), np.int64))
    assert starts_of(ids[first:end]).tolist() == [s - first for s in sorted(starts) if first <= s < end]
    assert not len(starts_of(ids + 1))
    assert not len(starts_of(np.arange(3)))


@pytest.mark.parametrize("pieces", [20, 1 << 20])
@pytest.mark.parametrize("kind", ["lines", "files"])
def test_the_words_of_a_document_follow_an_end(
    kind: str, pieces: int, lines: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm.data.text_file.PIECE_BYTES", pieces)
    if kind == "files":
        (tmp_path / "files").mkdir()
        for number, text in enumerate(DOCUMENTS[:60]):
            (tmp_path / "files" / f"{number:02}.txt").write_text(text)
        lines = {**lines, "train": tmp_path / "files", "valid": tmp_path / "files", "test": tmp_path / "files"}
    source = TextFiles(*lines.values(), field="text" if kind == "lines" else None, documents=True)
    assert "".join(source.marked("train")) == "".join(MARK + text for text in DOCUMENTS[:60])
    assert MARK not in "".join(source.pieces("train"))
    found = encode(source)
    ids = found.ids["train"]
    assert found.vocab.decode(ids.tolist()) == "\n" + "".join(DOCUMENTS[:60])
    begins = [*starts_of(ids).tolist(), len(ids) - 1]
    texts = [found.vocab.decode(ids[a + 1 : b + 1].tolist()) for a, b in pairwise(begins)]
    assert texts == DOCUMENTS[:60]
    assert found.splits["train"].size.bytes == len("".join(DOCUMENTS[:60]))
    assert found.splits["train"].tokens == found.splits["train"].size.words + 1  # the end that opens the text


def models() -> list[LanguageModel]:
    torch.manual_seed(0)
    gated = stacked(12, 8, 10, num_layers=2, cell=Mogrifier(rank=2, state_dropout=0.0))
    return [RecurrentLanguageModel(12, 8, 10, 2), gated]


@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
def test_a_window_is_read_as_token_by_token_with_new_states(model: LanguageModel) -> None:
    model.eval()
    drawn = np.random.default_rng(0)
    tokens, reset = torch.from_numpy(drawn.integers(0, 12, (3, 9))), drawn.random((3, 9)) < 0.3
    state = [tuple(torch.randn_like(part) for part in layer) for layer in model.initial_state(3)]
    read, after = model(tokens, state, reset)
    for row in range(3):
        own = [tuple(part[row : row + 1] for part in layer) for layer in state]
        for t in range(9):
            own = model.initial_state(1) if reset[row, t] else own
            hidden, own = model.step(tokens[row : row + 1, t], own)
            torch.testing.assert_close(read[row, t], hidden[0])
        for layer, expected in zip(after, own, strict=True):
            torch.testing.assert_close([part[row] for part in layer], [part[0] for part in expected])


def test_a_split_scores_as_its_documents_do_one_by_one(
    lines: dict[str, Path], train: Callable[..., Run], call: Callable[..., Done], tmp_path: Path
) -> None:
    run = train(*settings(lines), *SHORT, "data.eval_window=7")
    trained = load(run.dir)
    test = DOCUMENTS[70:]
    apart = [evaluate(Static(), trained.model, trained.vocab.sentence(text), trained.vocab.unk)[0] for text in test]
    for figures in (run.result["test"], evaluate(Static(5), trained.model, trained.split_ids("test"), 1)[0].as_dict()):
        assert figures["nats"] == pytest.approx(sum(score.nats for score in apart), rel=1e-5)
        assert (
            figures["tokens"]
            == sum(score.tokens for score in apart)
            == len(" ".join(test).split()) + sum(text.count("\n") for text in test)
        )
    out, tokens = tmp_path / "score.json", tmp_path / "tokens"
    done = call("evaluate", f"checkpoint={run.dir}", f"out={out}", f"per_token={tokens}")
    assert done.code == 0, done.err
    figures = json.loads(out.read_text())
    assert figures["nats"] == pytest.approx(run.result["test"]["nats"], rel=1e-6)
    assert figures["perplexity_per_word"] == pytest.approx(figures["perplexity"])  # every word is scored
    rows = [row.split("\t")[0] for row in tokens.read_text().splitlines()]
    assert rows == "".join(test).replace("\n", " <eos> ").split()


@pytest.mark.parametrize(
    "evaluator",
    [Static(), Static(temperature=1.3), Dynamic(lr=0.0), Cache(weight=0.0), FreeRunning(window=6, streams=1)],
)
def test_no_evaluator_carries_a_state_into_the_next_document(evaluator: Evaluator, lines: dict[str, Path]) -> None:
    found = encode(TextFiles(*lines.values(), field="text", documents=True))
    torch.manual_seed(1)
    model = RecurrentLanguageModel(len(found.vocab), 8, 10)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)
    ids, unk = found.ids["test"], found.vocab.unk
    _, scored = evaluate(evaluator, model, ids, unk)
    second = int(starts_of(ids)[1])
    _, alone = evaluate(evaluator, model, np.asarray(ids)[second : second + 6], unk)
    if isinstance(evaluator, FreeRunning):  # its windows begin elsewhere: only the first word is read alike
        assert scored.nats[second] == pytest.approx(float(alone.nats[0]), rel=1e-5)
    else:
        torch.testing.assert_close(scored.nats[second : second + 5], alone.nats)
    _, as_one = evaluate(evaluator, model, np.asarray(ids), unk)
    assert not torch.allclose(as_one.nats, scored.nats)


def test_no_document_is_cut_where_a_text_is_split(tmp_path: Path) -> None:
    for number, text in enumerate(DOCUMENTS[:12]):
        (tmp_path / f"{number:02}.txt").write_text(text)
    source = TextFiles(tmp_path, documents=True)
    parts = ["".join(source.marked(split)) for split in ("train", "valid", "test")]
    assert "".join(parts) == "".join(MARK + text for text in DOCUMENTS[:12])
    assert all(part.startswith(MARK) for part in parts)
    for path in sorted(tmp_path.iterdir())[1:]:
        path.unlink()
    with pytest.raises(UserError, match="too few documents to be split"):
        encode(TextFiles(tmp_path, documents=True))


def test_a_run_does_not_resume_on_other_documents(lines: dict[str, Path], train: Callable[..., Run]) -> None:
    run = train(*settings(lines), *SHORT)
    first, second, *rest = map(json.loads, lines["train"].read_text().splitlines())
    joined = [{"text": f"{first['text']}\n{second['text']}"}, *rest]  # the same words, one document less
    lines["train"].write_text("\n".join(map(json.dumps, joined)) + "\n")
    with pytest.raises(UserError, match="has changed since"):
        resume(run.dir, "checkpoint=last", "trainer.max_epochs=2")


def test_training_starts_each_document_anew(lines: dict[str, Path], train: Callable[..., Run]) -> None:
    """The documents of a stream may come in any order: with a state carried over, the first loss would differ."""
    one = train(*settings(lines), *SHORT, "data.batch_size=1", "data.window=300", "trainer.limit_train_batches=1")
    rows = lines["train"].read_text().splitlines()
    lines["train"].write_text("\n".join(reversed(rows)) + "\n")
    words = ["data.vocab_from=" + str(one.dir)]
    whole = len("".join(DOCUMENTS[:60]).replace("\n", " . ").split())
    same = [f"data.window={whole}", "data.batch_size=1", "trainer.limit_train_batches=1"]
    other = train(*settings(lines), *SHORT, *same, *words, name="reversed")
    lines["train"].write_text("\n".join(rows) + "\n")
    first = train(*settings(lines), *SHORT, *same, *words, name="whole")
    assert other.curve("train/loss")[0] == pytest.approx(first.curve("train/loss")[0], rel=1e-5)


@pytest.mark.parametrize(
    "forcing",
    [["forcing=free_running"], ["forcing=sampled"], ["forcing=teacher", "forcing.update=token"], ["tbptt.windows=2"]],
)
def test_documents_train_in_every_mode_and_resume(
    forcing: list[str], lines: dict[str, Path], train: Callable[..., Run]
) -> None:
    asked = [*settings(lines), *SHORT, *forcing]
    whole = train(*asked, "trainer.max_epochs=2", name="whole")
    stopped = train(*asked, name="stopped")
    assert "documents" in whole.result["config"]["data"]
    resumed = resume(stopped.dir, "checkpoint=last", "trainer.max_epochs=2")
    assert resumed.result["test"]["nats"] == whole.result["test"]["nats"]
