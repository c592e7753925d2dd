"""Dynamic evaluation by whole sentences: no word is scored by weights that have seen it; the adapted model is kept."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Done, Run, run_on

from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.evaluation import Dynamic, Static, evaluate
from lm.evaluation.adaptive import adapting
from lm.evaluation.sentences import score_sentences
from lm.models import RecurrentLanguageModel
from lm.runs.trained import load
from lm.system.errors import UserError

VOCAB = Vocab([EOS, UNK, *(f"w{i}" for i in range(10))])
LINES = ["w1 w2 w3", "w4 w4", "w1 w2 w3", "w5"]
HOW = {"rule": "sgd", "lr": 0.5, "decay": 0.1, "adapt": "sentence", "eos": VOCAB.eos}


def model_of() -> RecurrentLanguageModel:
    torch.manual_seed(0)
    return RecurrentLanguageModel(len(VOCAB), 8, 12)


def ids_of(lines: list[str]) -> np.ndarray:
    return VOCAB.sentence("".join(f"{line}\n" for line in lines))


def nats_of(evaluator: Static | Dynamic, lines: list[str]) -> list[float]:
    found: list[float] = evaluate(evaluator, model_of(), ids_of(lines), VOCAB.unk)[1].nats.tolist()
    return found


def test_no_word_is_scored_by_weights_that_have_seen_it() -> None:
    whole = nats_of(Dynamic(**HOW), LINES)
    assert whole[:4] == pytest.approx(nats_of(Static(), LINES)[:4])  # the first sentence: nothing was learned yet
    assert whole[4:] != pytest.approx(nats_of(Static(), LINES)[4:], abs=1e-3)
    for changed in ([*LINES[:2], "w9 w9 w9", "w9"], [*LINES[:2], "w1 w2 w9", "w5"]):
        assert nats_of(Dynamic(**HOW), changed)[:7] == pytest.approx(whole[:7])
    assert nats_of(Dynamic(**HOW), [*LINES[:2], "w1 w2 w9", "w5"])[7:9] == pytest.approx(whole[7:9])


def test_the_state_is_carried_from_sentence_to_sentence_or_reset() -> None:
    carried, still = {**HOW, "lr": 1e-12, "decay": 0.0}, [0, 4, 7, 11]
    assert nats_of(Dynamic(**carried), LINES) == pytest.approx(nats_of(Static(), LINES), abs=1e-5)
    reset = nats_of(Dynamic(**carried, reset=True), LINES)
    alone = [nats for one in score_sentences(model_of(), VOCAB, LINES) for nats in one.nats]
    assert reset == pytest.approx(alone, abs=1e-5)
    assert [reset[place] for place in still] != pytest.approx([nats_of(Static(), LINES)[place] for place in still])


def test_sentences_learn_as_a_plain_loop_does() -> None:
    model, plain = model_of(), model_of().eval()
    before = copy.deepcopy(model.state_dict())
    trained = [weight.detach().clone() for weight in plain.parameters()]
    found = list(adapting(Dynamic(**HOW), model, VOCAB, LINES))
    for line, one in zip(LINES, found, strict=True):
        ids = torch.from_numpy(VOCAB.sentence(f"{line}\n").astype(np.int64))
        hidden, _ = plain(ids[None, :-1], plain.initial_state(1))
        nats = plain.head.nll(hidden, ids[None, 1:])[0]
        assert one.nats == pytest.approx(nats.tolist(), abs=1e-5)
        gradients = torch.autograd.grad(nats.mean(), list(plain.parameters()))
        with torch.no_grad():
            for weight, start, gradient in zip(plain.parameters(), trained, gradients, strict=True):
                weight.copy_(weight + 0.1 * (start - weight) - 0.5 * gradient)
    assert found[0].nats != pytest.approx(found[2].nats, abs=1e-2)  # the same sentence, known by then
    for name, part in model.state_dict().items():
        assert torch.equal(part, before[name])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_on(
        tmp_path_factory.mktemp("adaptive"), "the army is here\nit said the army is not here\n" * 60, windows=10
    )


SETTINGS = ["evaluator=dynamic", "evaluator.adapt=sentence", "evaluator.rule=sgd", "evaluator.lr=0.5"]


def test_the_adapted_model_is_kept(run: Run, call: Callable[..., Done], tmp_path: Path) -> None:
    lines = ["it is here", "the army said it", "it is here"]
    (tmp_path / "lines").write_text("\n".join(lines))
    adapted, summary = tmp_path / "adapted.ckpt", tmp_path / "summary.json"
    asked = [f"checkpoint={run.dir}", f"file={tmp_path}/lines", *SETTINGS]
    done = call("score", *asked, f"adapted={adapted}", f"summary={summary}", f"out={tmp_path}/out.tsv")
    assert done.code == 0, done.err
    rows = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()[1:]]
    first = load(run.dir).score(lines[:1])[0]
    assert [float(row[5]) for row in rows[:4]] == pytest.approx(first.bits, abs=1e-5)
    assert float(rows[-1][5]) != pytest.approx(first.bits[-1], abs=1e-3)
    # The kept model is the one that has learned from all three lines.
    (tmp_path / "more").write_text("\n".join([*lines, "the army"]))
    call("score", asked[0], f"file={tmp_path}/more", *SETTINGS, f"out={tmp_path}/more.tsv")
    last = [float(line.split("\t")[5]) for line in (tmp_path / "more.tsv").read_text().splitlines()[-3:]]
    assert load(adapted).score(["the army"])[0].bits == pytest.approx(last, abs=1e-4)
    assert call("sample", f"checkpoint={adapted}", "prompt=the army").code == 0
    assert "lacks what training needs to resume" in call("train", f"checkpoint={adapted}").err


def test_evaluate_keeps_the_adapted_model_too(run: Run, call: Callable[..., Done], tmp_path: Path) -> None:
    out, adapted = tmp_path / "out.json", tmp_path / "adapted.ckpt"
    done = call(
        "evaluate", f"checkpoint={run.dir}", *SETTINGS, f"adapted={adapted}", f"out={out}", "evaluator.reset=true"
    )
    assert done.code == 0, done.err
    assert json.loads(out.read_text())["settings"]["adapt"] == "sentence"
    own, other = load(run.dir).model.state_dict(), load(adapted).model.state_dict()
    assert any(not torch.equal(own[name], other[name]) for name in own)


def test_mistakes_get_their_sentence(run: Run, call: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("the army\n")
    asked = [f"checkpoint={run.dir}", f"file={tmp_path}/lines"]
    assert "evaluator=cache reads a text as one stream" in call("score", *asked, "evaluator=cache").err
    assert "choose evaluator=dynamic evaluator.adapt=sentence" in call("score", *asked, f"adapted={tmp_path}/a").err
    assert "learns with one model" in call("score", *asked, *SETTINGS, "ngram=2").err
    best = run.dir / "checkpoints/best.ckpt"
    assert "is the checkpoint that is read" in call("score", *asked, *SETTINGS, f"adapted={best}").err
    assert "would be overwritten" in call("score", *asked, f"out={tmp_path}/lines").err
    assert "file is missing; name a file" in call("score", asked[0]).err
    assert "mixture= is for several models" in call("score", *asked, "mixture=auto").err
    assert "choose evaluator=dynamic and one checkpoint" in call("evaluate", asked[0], f"adapted={tmp_path}/a").err
    with pytest.raises(UserError, match=r"choose evaluator\.adapt=sentence"):
        Dynamic(reset=True)
    with pytest.raises(UserError, match="give `eos`"):
        nats_of(Dynamic(**{**HOW, "eos": None}), LINES)
