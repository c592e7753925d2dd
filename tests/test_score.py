"""Sentences are scored each by itself, many at a time; pairs of sentences; the conventions of perplexity."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import Done, Run, run_on
from hypothesis import given, settings
from hypothesis import strategies as st

from lm.cli.help import help_text
from lm.data.tokenisers import EOS, UNK, Bytes, Characters, Punctuation, Tokeniser, Whitespace
from lm.data.vocabulary import Vocab
from lm.evaluation import Static, evaluate
from lm.evaluation.pairs import wilson
from lm.evaluation.sentence_figures import SentenceFigures
from lm.evaluation.sentences import Sentence, score_sentences
from lm.models import RecurrentLanguageModel
from lm.models.heads import Adaptive

WORDS = [f"w{i}" for i in range(18)]
VOCAB = Vocab([EOS, UNK, *WORDS])
LINE = st.lists(st.sampled_from([*WORDS, "strange"]), min_size=1, max_size=9).map(" ".join)
LINES = ["w1 w2 w3", "w4", "w1 strange w2 w5 w6 w7 w8", "  w2\tw3 ", "w4", "w9 w8 w7 w6"]


def model_of(head: str = "softmax") -> RecurrentLanguageModel:
    torch.manual_seed(0)
    model = RecurrentLanguageModel(20, 12, 16, 2, **({"head": Adaptive([5])} if head == "adaptive" else {}))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4)
    return model


MODEL = model_of()


def scored(lines: list[str], **others: object) -> list[Sentence]:
    return list(score_sentences(MODEL, VOCAB, lines, **others))  # type: ignore[arg-type]


def same(one: Sentence, other: Sentence) -> bool:
    plain = (one.words, one.tokens, one.known) == (other.words, other.tokens, other.known)
    return plain and np.allclose(one.nats, other.nats, atol=1e-4) and np.allclose(one.entropy, other.entropy, atol=1e-4)


@pytest.mark.parametrize("head", ["softmax", "adaptive"])
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_a_sentence_scores_as_evaluate_scores_it_alone(head: str, temperature: float) -> None:
    model = model_of(head)
    for line, one in zip(LINES, score_sentences(model, VOCAB, LINES, temperature), strict=True):
        total, parts = evaluate(Static(temperature=temperature), model, VOCAB.sentence(line + "\n"), VOCAB.unk)
        assert one.nats == pytest.approx(parts.nats.tolist(), abs=1e-5)
        assert sum(one.nats) == pytest.approx(total.nats, abs=1e-4)
        assert one.words == [*line.split(), EOS]
        assert one.known == [word != "strange" for word in one.words]
        assert one.tokens == [1] * len(one.words)


def test_entropy_is_the_sum_over_the_vocabulary() -> None:
    [one] = scored(["w3 w4"])
    hidden, _ = MODEL.eval()(torch.tensor([[VOCAB.eos, VOCAB.id("w3"), VOCAB.id("w4")]]), MODEL.initial_state(1))
    for place, logits in enumerate(MODEL.head.logits(hidden)[0].double()):
        probabilities = [math.exp(x) / sum(math.exp(y) for y in logits.tolist()) for x in logits.tolist()]
        assert one.entropy[place] == pytest.approx(-sum(p * math.log(p) for p in probabilities), abs=1e-5)


@settings(max_examples=30)
@given(st.lists(LINE, min_size=1, max_size=12), st.randoms(), st.integers(1, 5))
def test_neither_order_nor_company_changes_a_sentence(lines: list[str], shuffler: object, batch_size: int) -> None:
    alone = [scored([line])[0] for line in lines]
    assert all(map(same, scored(lines, batch_size=batch_size), alone))
    order = list(range(len(lines)))
    shuffler.shuffle(order)  # type: ignore[attr-defined]
    moved = scored([lines[place] for place in order])
    assert all(same(moved[now], alone[before]) for now, before in enumerate(order))


def test_long_texts_are_read_in_parts_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scored(LINES * 3)
    for name, small in (("AT_ONCE", 4), ("POSITIONS", 9), ("NUMBERS", 50)):
        monkeypatch.setattr(f"lm.evaluation.sentences.{name}", small)
    assert all(map(same, scored(LINES * 3), whole))


def test_results_come_before_all_texts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm.evaluation.sentences.AT_ONCE", 2)
    drawn = iter(LINES)
    next(score_sentences(MODEL, VOCAB, drawn))
    assert len(list(drawn)) == len(LINES) - 2


def test_the_four_conventions_are_those_worked_out_by_hand() -> None:
    """A model of three words that forgets what it reads: p(a) = 1/2, p(<unk>) = 1/8, p(<eos>) = 3/8."""
    vocab, model = Vocab([EOS, UNK, "a"]), RecurrentLanguageModel(3, 2, 2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.head.output.bias.copy_(torch.tensor([3 / 8, 1 / 8, 1 / 2]).log())  # type: ignore[union-attr]
    figures = SentenceFigures()
    for one in score_sentences(model, vocab, ["a b a", "a"]):
        figures.add(one)
    found = figures.as_dict()
    assert {name: found[name] for name in ("sentences", "words", "tokens", "unknown")} == {
        "sentences": 2, "words": 4, "tokens": 6, "unknown": 1,
    }  # fmt: skip
    assert found["nats"] == pytest.approx(3 * math.log(2) + math.log(8) + 2 * math.log(8 / 3))
    by_hand = {
        "all": (2 * 2 * 2 * 8 * 8 / 3 * 8 / 3) ** (1 / 6),
        "known": (2 * 2 * 2 * 8 / 3 * 8 / 3) ** (1 / 5),
        "all_without_end": (2 * 2 * 2 * 8) ** (1 / 4),
        "known_without_end": 2.0,
    }
    assert found["perplexities"] == pytest.approx(by_hand, rel=1e-6)


SPLITTERS = [Whitespace(), Characters(), Bytes(), Punctuation(), Whitespace(normalise="NFKC")]


@pytest.mark.parametrize("tokeniser", SPLITTERS, ids=lambda tokeniser: tokeniser.option)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_each_token_belongs_to_a_word(tokeniser: Tokeniser, line: str) -> None:
    by_word = tokeniser.by_word(line)
    assert len(by_word) == len(line.split())
    if line.split():
        assert [token for tokens in by_word for token in tokens] == tokeniser.split(line)


def test_tokens_stand_with_the_word_that_they_spell() -> None:
    assert Punctuation().by_word("Mr. Smith's (old) U.S. dogs, e.g. etc.") == [
        ["Mr."], ["Smith", "'s"], ["(", "old", ")"], ["U.S."], ["dogs", ","], ["e.g."], ["etc", "."],
    ]  # fmt: skip
    assert Characters().by_word(" ab c ") == [[" ", "a", "b"], [" ", "c", " "]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_on(tmp_path_factory.mktemp("score"), "the army is here\nit said the army is not here\n" * 60, windows=30)


def test_a_file_of_sentences(run: Run, call: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("the army is here\n\n  zorp is not\there \nthe army is here")
    out, summary = tmp_path / "out.tsv", tmp_path / "summary.json"
    settings = [f"checkpoint={run.dir}", f"file={tmp_path}/lines"]
    done = call("score", *settings, f"out={out}", f"summary={summary}", "unit=nats")
    assert done.code == 0, done.err
    head, *rows = (line.split("\t") for line in out.read_text().splitlines())
    assert head == ["sentence", "position", "word", "tokens", "known", "surprisal", "entropy"]
    assert [row[:5] for row in rows[5:10]] == [
        ["3", str(k), word, "1", known]
        for k, (word, known) in enumerate([("zorp", "0"), ("is", "1"), ("not", "1"), ("here", "1"), (EOS, "1")], 1)
    ]
    assert [row[0] for row in rows] == ["1"] * 5 + ["3"] * 5 + ["4"] * 5
    assert [row[2:] for row in rows[:5]] == [row[2:] for row in rows[10:]]  # equal sentences have equal figures
    found = json.loads(summary.read_text())
    assert (found["sentences"], found["skipped"], found["words"], found["tokens"], found["unknown"]) == (
        3,
        1,
        12,
        15,
        1,
    )
    assert found["nats"] == pytest.approx(sum(float(row[5]) for row in rows), abs=1e-4)
    assert found["perplexities"]["all"] == pytest.approx(math.exp(found["nats"] / 15))
    bits = call("score", *settings, "unit=bits")
    assert float(bits.out.splitlines()[1].split("\t")[5]) == pytest.approx(float(rows[0][5]) / math.log(2), abs=2e-6)
    assert "perplexities: all" in bits.err


def test_sentences_from_standard_input(run: Run, call: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"\xef\xbb\xbfthe army\r\nit said")))
    done = call("score", f"checkpoint={run.dir}", "file=-")
    assert [row.split("\t")[2] for row in done.out.splitlines()] == ["word", "the", "army", EOS, "it", "said", EOS]


def test_pairs_by_kind(run: Run, call: Callable[..., Done], tmp_path: Path) -> None:
    rows = [("the army is here", "here is army the", "order"), ("army the is here", "the army is here", "order")]
    rows += [("it said", "it said", "same"), ("zorp is here", "zorp here is", "")]
    lines = [json.dumps({"sentence_good": good, "sentence_bad": bad, "UID": uid}) for good, bad, uid in rows]
    (tmp_path / "pairs.jsonl").write_text("\n".join([lines[0], "", *lines[1:]]))
    (tmp_path / "pairs.tsv").write_text("".join(f"{good}\t{bad}\n" for good, bad, _ in rows))
    out, summary = tmp_path / "out.tsv", tmp_path / "summary.json"
    settings = [f"checkpoint={run.dir}", "format=pairs", f"out={out}", f"summary={summary}", "unit=nats"]
    done = call("score", *settings, f"file={tmp_path}/pairs.jsonl")
    assert done.code == 0, done.err
    assert "1 of 4 pairs are twice the same sentence" in done.err
    head, *found = (line.split("\t") for line in out.read_text().splitlines())
    assert head == ["pair", "uid", "good", "bad", "difference", "good_unknown", "bad_unknown", "result"]
    assert [(row[0], row[1], row[7]) for row in found[:3]] == [
        ("1", "order", "right"), ("3", "order", "wrong"), ("4", "same", "tie"),
    ]  # fmt: skip
    for row in found:
        assert float(row[4]) == pytest.approx(float(row[3]) - float(row[2]), abs=2e-6)
    assert found[3][5:7] == ["1", "1"]
    said = json.loads(summary.read_text())
    right = 1 + (found[3][7] == "right")
    assert (said["pairs"], said["ties"], said["with_unknown"]) == (4, 1, 1)
    assert said["accuracy"] == right / 4
    assert said["interval"] == pytest.approx(wilson(right, 4))
    assert said["by_uid"]["order"]["accuracy"] == 0.5
    assert said["by_uid"].keys() == {"order", "same"}
    columns = call("score", *settings, f"file={tmp_path}/pairs.tsv")
    assert columns.code == 0, columns.err
    again = [line.split("\t") for line in out.read_text().splitlines()[1:]]
    assert [row[2:] for row in again] == [row[2:] for row in found]


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(8, 10) == pytest.approx([0.4901625, 0.9433178], abs=1e-6)
    assert wilson(0, 10) == pytest.approx([0.0, 0.2775328], abs=1e-6)
    assert wilson(10, 10)[1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("content", "settings", "said"),
    [
        ('{"text": "a"}\n', [], "is JSON Lines, not a sentence a line"),
        ('{"sentence_good": "a", "sentence_bad": "b"}\n', [], "choose format=pairs"),
        ("a\tb\tc\n", ["format=pairs"], "line 1 has 3 columns; a pair is two sentences"),
        ("a\tb\nonly one\n", ["format=pairs"], "line 2 has 1 columns"),
        ('{"sentence_good": "a"}\n', ["format=pairs"], "line 1: not a JSON object with the texts sentence_good"),
        ("\n\n", [], "has no sentence"),
        ("\n\n", ["format=pairs"], "has no pair"),
        ("a\n", ["format=sentence"], "format=sentence: there is no such format. Did you mean sentences?"),
        ("a\n", ["unit=bit"], "Did you mean bits?"),
        ("a\n", ["evaluator.temperature=0"], "evaluator.temperature must be above 0"),
        ("", [], "is empty"),
    ],
)
def test_mistakes_get_their_sentence(
    content: str, settings: list[str], said: str, run: Run, call: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text(content)
    out = tmp_path / "out.tsv"
    done = call("score", f"checkpoint={run.dir}", f"file={tmp_path}/file", f"out={out}", *settings)
    assert done.code != 0
    assert said in done.err
    assert "Traceback" not in done.err
    assert not out.exists()


def test_help_names_every_setting() -> None:
    said = help_text("score")
    for setting in ("checkpoint: ???", "file: ???", "mixture: equal", "ngram: null", "each: false", "KenLM", "SRILM"):
        assert setting in said
