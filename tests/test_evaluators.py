"""Cache, dynamic evaluation and temperature against plain loops, and properties of every evaluator."""

from __future__ import annotations

import copy
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, Run, configure
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor

from lm.commands.evaluate import evaluate as evaluate_script
from lm.config.build import build
from lm.config.conf_folder import CONF
from lm.evaluation import Cache, Dynamic, Evaluator, FreeRunning, Static, evaluate
from lm.evaluation.cache import THETAS, WEIGHTS
from lm.evaluation.temperature import TEMPERATURES, best_temperature
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.system.errors import UserError

ROOT = Path(__file__).parent.parent
V = 12
TRAIN = np.random.default_rng(7).integers(0, V, 200)
VALID = np.tile(np.random.default_rng(8).integers(0, V, 15), 6)
FAST: dict[str, Any] = {"lr": 0.005, "decay": 0.1, "streams": 4, "corpus": {"train": TRAIN}.__getitem__}
DYNAMIC = Dynamic(3, **FAST)
EVALUATORS = [
    Static(7),
    Static(7, temperature=0.9),
    FreeRunning(5, 1),
    FreeRunning(5, 3),
    Cache(0.3, 0.5, 9, Static(7)),
    Cache(1.0, 0.5, 9, Static(7)),
    DYNAMIC,
    Dynamic(4, lr=0.3, rule="sgd", temperature=0.9),
    Cache(0.3, 0.5, 9, DYNAMIC),
]


def new_model() -> RecurrentLanguageModel:
    torch.manual_seed(0)
    return RecurrentLanguageModel(V, 6, 6, num_layers=2, dropout=0.4, tied=True)


@pytest.fixture
def model() -> RecurrentLanguageModel:
    return new_model()


def nats(evaluator: Evaluator, model: RecurrentLanguageModel, ids: np.ndarray) -> Tensor:
    return evaluate(evaluator, model, ids, unk=0)[1].nats


def random_ids(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, V, n)


def same(a: Tensor, b: Tensor) -> bool:
    return bool(torch.equal(a, b))


@pytest.mark.parametrize("evaluator", EVALUATORS, ids=lambda e: e.name)
@settings(max_examples=15)
@example(position=56, seed=37)
@given(position=st.integers(1, 58), seed=st.integers(0, 99))
def test_no_word_is_scored_with_knowledge_of_a_later_one(evaluator: Evaluator, position: int, seed: int) -> None:
    ids = random_ids(60, seed)
    other = ids.copy()
    other[position + 1 :] = (ids[position + 1 :] + 1 + random_ids(59 - position, seed + 1) % (V - 1)) % V
    # The position of each figure in the text: free running yields stream by stream.
    at = torch.arange(1, 60)
    if isinstance(evaluator, FreeRunning):
        at = torch.cat([window.targets.flatten() for window in evaluator.windows(np.arange(60))])
    before, after = (nats(evaluator, new_model(), text) for text in (ids, other))
    assert same(before[at <= position], after[at <= position])
    later = (at > position) & before.isfinite()  # a cache alone gives probability 0 to words outside it
    assert not later.any() or not same(before[later], after[later])


def test_weight_0_and_rate_0_are_the_standard_evaluation_bit_for_bit(model: RecurrentLanguageModel) -> None:
    ids = random_ids(700)
    static = nats(Static(), model, ids)
    assert same(static, nats(Dynamic(lr=0), model, ids))  # and needs no training text
    assert same(static, nats(Cache(weight=0), model, ids))
    assert same(static, nats(Cache(weight=0, reader=Dynamic(lr=0)), model, ids))
    cooler = nats(Static(temperature=0.8), model, ids)
    assert same(cooler, nats(Dynamic(lr=0, temperature=0.8), model, ids))
    assert same(cooler, nats(Cache(weight=0, temperature=0.8), model, ids))
    assert not same(static, cooler)
    dynamic = nats(DYNAMIC, model, ids)
    assert same(dynamic, nats(Cache(weight=0, reader=DYNAMIC), model, ids))
    assert not torch.allclose(static, dynamic, atol=1e-3)
    torch.testing.assert_close(static, nats(replace(DYNAMIC, lr=1e-12), model, ids), atol=1e-5, rtol=0)


@given(st.integers(1, 80), st.integers(1, 80), st.sampled_from([Static(), Cache(0.4, 0.7, 11)]))
def test_figures_do_not_depend_on_how_much_is_read_at_a_time(one: int, two: int, evaluator: Evaluator) -> None:
    def read_by(window: int) -> Tensor:
        reader = Static(window)
        chunked = replace(evaluator, reader=reader) if isinstance(evaluator, Cache) else reader
        return nats(chunked, new_model(), random_ids(70))

    torch.testing.assert_close(read_by(one), read_by(two), atol=1e-5, rtol=0)


class Boom(BaseException):
    """As a stop signal: not an Exception."""


@pytest.mark.parametrize("evaluator", EVALUATORS, ids=lambda e: e.name)
@pytest.mark.parametrize("end", ["whole", "left", "consumer", "model"])
def test_the_model_is_afterwards_what_it_was(evaluator: Evaluator, end: str, model: RecurrentLanguageModel) -> None:
    model.train()
    model.layers.eval()  # modes that differ between parts are restored
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    before, modes = copy.deepcopy(model.state_dict()), [part.training for part in model.modules()]
    calls, moved = [], []

    def count(*_: object) -> None:
        calls.append(1)
        if end == "model" and len(calls) == 60:
            raise Boom

    hook = model.embedding.register_forward_hook(count)
    caught = None  # keeps the traceback, and with it every frame, alive
    try:
        with evaluator.scoring(model, np.tile(random_ids(60), 5)) as parts:
            for number, _ in enumerate(parts):
                moved.append(not same(before["embedding.weight"], model.embedding.weight))
                if end == "left" and number == 3:
                    break
                if end == "consumer" and number == 3:
                    raise Boom
    except Boom as boom:
        caught = boom
    hook.remove()
    assert (caught is not None) == (end == "consumer" or (end == "model" and len(calls) >= 60))
    assert any(moved) == evaluator.changes_weights  # otherwise there was nothing to restore
    assert all(same(value, before[name]) for name, value in model.state_dict().items())
    assert [part.training for part in model.modules()] == modes
    assert all(same(weight.grad, torch.ones_like(weight)) for weight in model.parameters() if weight.grad is not None)
    assert not any(value.is_inference() for value in model.state_dict().values())


@pytest.mark.parametrize("window", [1, 4, 500])
def test_cache_is_the_formula_word_by_word(window: int, model: RecurrentLanguageModel) -> None:
    ids, weight, theta = random_ids(40), 0.3, 0.8
    found = nats(Cache(weight, theta, window, Static(6)), model, ids)
    model.eval()
    hidden, _ = model(torch.from_numpy(ids[None, :-1]), model.initial_state(1))
    for t in range(39):
        p = model.head.logits(hidden[0, t]).softmax(-1)[ids[t + 1]].item()
        shares = {i: math.exp(theta * (hidden[0, t] @ hidden[0, i]).item()) for i in range(max(0, t - window), t)}
        if shares:
            same_word = sum(share for i, share in shares.items() if ids[i + 1] == ids[t + 1])
            p = (1 - weight) * p + weight * same_word / sum(shares.values())
        assert found[t].item() == pytest.approx(-math.log(p), abs=1e-5)


def test_cache_by_hand(model: RecurrentLanguageModel) -> None:
    for weight in model.parameters():
        weight.data.zero_()  # uniform over V words, and all positions look alike
    found = nats(Cache(weight=0.5, theta=1.0, window=3), model, np.array([0, 1, 2, 1, 1, 5]))
    p = [1 / V, 0.5 / V, 0.5 / V + 0.5 / 2, 0.5 / V + 0.5 * 2 / 3, 0.5 / V]
    torch.testing.assert_close(found, -torch.tensor(p).log())
    alone = nats(Cache(weight=1.0, window=3), model, np.array([0, 1, 2, 1]))
    assert alone.tolist() == pytest.approx([math.log(V), math.inf, math.log(2)])


@pytest.mark.parametrize("rule", ["rms", "sgd"])
def test_dynamic_is_a_plain_loop(rule: Any, model: RecurrentLanguageModel) -> None:
    ids, window, decay, epsilon = random_ids(31), 4, 0.2, 1e-3
    lr = {"rms": 0.03, "sgd": 1.0}[rule]
    evaluator = Dynamic(window, lr, decay, epsilon, rule, streams=5, corpus={"train": TRAIN}.__getitem__)
    found = nats(evaluator, model, ids)

    def gradients(text: Tensor, first: int, state: Any) -> tuple[Tensor, list[Tensor], Any]:
        plain.zero_grad()
        stop = min(first + window, text.shape[1] - 1)
        hidden, state = plain(text[:, first:stop], state)
        log = plain.head.logits(hidden).log_softmax(-1)
        paid = -log.gather(-1, text[:, first + 1 : stop + 1, None])[..., 0]
        paid.mean().backward()
        state = [tuple(part.detach() for part in layer) for layer in state]
        return paid.detach(), [weight.grad.clone() for weight in plain.parameters()], state

    plain = copy.deepcopy(model).eval()
    squares, count, state = [torch.zeros_like(weight) for weight in plain.parameters()], 0, plain.initial_state(5)
    for first in range(0, 39, window):
        _, grads, state = gradients(torch.from_numpy(TRAIN).view(5, 40), first, state)
        squares, count = [square + grad**2 for square, grad in zip(squares, grads, strict=True)], count + 1
    rms = [(square / count) ** 0.5 for square in squares]
    mean = sum(float(part.mean()) for part in rms) / len(rms)
    start = [weight.detach().clone() for weight in plain.parameters()]
    expected, state = [], plain.initial_state(1)
    for first in range(0, 30, window):
        paid, grads, state = gradients(torch.from_numpy(ids)[None], first, state)
        expected.append(paid[0])
        for weight, began, grad, root in zip(plain.parameters(), start, grads, rms, strict=True):
            if rule == "rms":
                step = lr * grad / (root + epsilon)
                back = torch.minimum(decay * root / mean, torch.tensor(1.0)) * (began - weight.data)
            else:
                step, back = lr * grad, decay * (began - weight.data)
            weight.data = weight.data + back - step
    assert found.numel() == 30
    torch.testing.assert_close(found, torch.cat(expected), atol=2e-5, rtol=0)
    assert not torch.allclose(found, nats(Static(), model, ids), atol=1e-2)


def test_weights_without_a_part_in_a_window_stay(model: RecurrentLanguageModel) -> None:
    model.register_parameter("elsewhere", torch.nn.Parameter(torch.ones(3)))
    with DYNAMIC.scoring(model, random_ids(60)) as parts:
        for _ in parts:
            assert same(model.elsewhere.data, torch.ones(3))


def test_both_make_use_of_a_text_that_repeats_itself(model: RecurrentLanguageModel) -> None:
    text = np.tile(random_ids(12), 20)
    static, cache, dynamic, both = (
        evaluate(evaluator, model, text, unk=0)[0].perplexity
        for evaluator in (Static(), Cache(theta=3.0), DYNAMIC, Cache(theta=3.0, reader=DYNAMIC))
    )
    assert cache < 0.95 * static
    assert dynamic < 0.95 * static
    assert both < min(cache, dynamic)


def test_a_part_of_the_training_text_is_named(
    model: RecurrentLanguageModel, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path))
    ids = random_ids(30)
    short = replace(DYNAMIC, statistics_windows=2)
    some = nats(short, model, ids)
    assert "from 2 of the 17 windows of the training text" in capsys.readouterr().err
    assert not torch.allclose(some, nats(DYNAMIC, model, ids), atol=1e-4)
    assert capsys.readouterr().err == ""


def by_frequency(model: RecurrentLanguageModel, times: float) -> None:
    """Make the model say p(w) ~ count(w)^times whatever it reads; temperature `times` is then best."""
    for weight in model.parameters():
        weight.data.zero_()
    counts = torch.bincount(torch.from_numpy(SKEWED[1:]), minlength=V)
    model.head.linear.bias.data = times * counts.float().log()


SKEWED = np.concatenate([np.full(2 + 9 * word, word) for word in range(V)])


@pytest.mark.parametrize("times", [0.86, 1.0, 1.12])
def test_temperature_is_found_on_valid(times: float, model: RecurrentLanguageModel) -> None:
    by_frequency(model.train(), times)
    asked = []

    def corpus(split: str) -> np.ndarray:
        asked.append(split)
        return SKEWED

    for evaluator in (Static(), FreeRunning(), Cache(), Dynamic(rule="sgd"), Cache(reader=Dynamic(rule="sgd"))):
        auto = replace(evaluator, temperature="auto", corpus=corpus)
        assert auto.resolved(model).temperature == times
        assert auto.resolved(model).settings["temperature"] == times
        assert model.training
    assert set(asked) == {"valid"}
    ids = random_ids(50)
    torch.testing.assert_close(
        nats(Static(temperature="auto", corpus=corpus), model, ids), nats(Static(temperature=times), model, ids)
    )


def test_temperature_divides_logits(model: RecurrentLanguageModel) -> None:
    ids = random_ids(30)
    model.eval()
    hidden, _ = model(torch.from_numpy(ids[None, :-1]), model.initial_state(1))
    log = (model.head.logits(hidden[0]) / 0.5).log_softmax(-1)
    expected = -log[torch.arange(29), torch.from_numpy(ids[1:])]
    torch.testing.assert_close(nats(Static(temperature=0.5), model, ids), expected.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(nats(FreeRunning(1, 1, temperature=0.5), model, ids), expected.detach())


def test_weight_and_theta_are_the_best_of_all_pairs(model: RecurrentLanguageModel) -> None:
    model.head.linear.weight.data *= 20
    auto = Cache("auto", "auto", 20, corpus={"valid": VALID}.__getitem__)
    pairs = [(theta, weight) for theta in THETAS for weight in WEIGHTS]
    scores = [evaluate(Cache(weight, theta, 20), model, VALID, unk=0)[0].nats for theta, weight in pairs]
    theta, weight = pairs[int(np.argmin(scores))]
    found = auto.resolved(model)
    assert (found.theta, found.weight) == (theta, weight)
    assert 0 < weight < 1
    assert replace(auto, theta=0.5).resolved(model).theta == 0.5
    assert replace(auto, weight=0.01).resolved(model).weight == 0.01
    assert 1.0 in TEMPERATURES


def test_a_temperature_at_the_end_of_what_is_tried_is_said(
    model: RecurrentLanguageModel, capsys: pytest.CaptureFixture[str]
) -> None:
    best_temperature(model, VALID)
    model.head.linear.weight.data *= 1000
    model.head.linear.bias.data *= 1000
    assert best_temperature(model, VALID) == 1.3
    assert "1.3 is the end of the range" in capsys.readouterr().err


def test_the_file_of_an_evaluator_names_the_temperatures_that_are_tried() -> None:
    (said,) = re.findall(r"the best of ([\d.]+) to ([\d.]+)", (CONF / "evaluator/static.yaml").read_text())
    assert [float(end) for end in said] == pytest.approx([TEMPERATURES[0], TEMPERATURES[-1]])


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("static", Static()),
        ("cache", Cache()),
        ("dynamic", Dynamic()),
        ("dynamic_cache", Cache(reader=Dynamic())),
        ("free_running", FreeRunning()),
    ],
)
def test_the_file_of_an_evaluator_has_the_defaults_of_its_class(name: str, default: Evaluator) -> None:
    assert build(OmegaConf.to_container(configure("evaluate", f"evaluator={name}").evaluator), "evaluator") == default


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cache(weight=1.1), "evaluator.weight must be between 0 and 1, or auto; got 1.1"),
        (lambda: Cache(weight=-0.1), "evaluator.weight must be between 0 and 1"),
        (lambda: Cache(theta=-1), "evaluator.theta must be"),
        (lambda: Cache(theta=math.nan), "evaluator.theta must be"),
        (lambda: Cache(window=0), "evaluator.window must be at least 1; got 0"),
        (lambda: Cache(reader=FreeRunning()), "static or dynamic"),  # type: ignore[arg-type]
        (lambda: Cache(reader=Static(temperature=0.9)), "set evaluator.temperature"),
        (lambda: Dynamic(window=0), "evaluator.window must be at least 1; got 0"),
        (lambda: Dynamic(streams=0), "evaluator.streams must be at least 1"),
        (lambda: Dynamic(lr=-1e-5), "evaluator.lr must be at least 0; got -1e-05"),
        (lambda: Dynamic(decay=2), "evaluator.decay must be between 0 and 1"),
        (lambda: Dynamic(epsilon=0), "evaluator.epsilon must be above 0"),
        (lambda: Dynamic(statistics_windows=0), "evaluator.statistics_windows must be at least 1, or null"),
        (lambda: Static(temperature=0), "evaluator.temperature must be above 0, or auto; got 0"),
        (lambda: Static(window=0), "evaluator.window must be at least 1"),
        (lambda: FreeRunning(temperature=-1), "evaluator.temperature must be above 0"),
    ],
)
def test_settings_that_cannot_be(make: Callable[[], Evaluator], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        make()


@pytest.mark.parametrize(
    ("evaluator", "setting", "message"),
    [
        ("static", "temperature=warm", "evaluator.temperature must be a number or one of auto; got 'warm'"),
        ("cache", "theta=[1]", "evaluator.theta must be a number or one of auto"),
        ("cache", "window=2.5", "evaluator.window must be a whole number; got 2.5"),
        ("dynamic", "rule=adam", "evaluator.rule must be one of rms, sgd; got 'adam'"),
        ("dynamic_cache", "reader.lr=fast", "evaluator.reader.lr must be a number; got 'fast'"),
    ],
)
def test_values_of_another_kind(evaluator: str, setting: str, message: str) -> None:
    node = configure("evaluate", f"evaluator={evaluator}", f"evaluator.{setting}").evaluator
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        build(OmegaConf.to_container(node), "evaluator")


def test_what_is_missing_is_said(model: RecurrentLanguageModel) -> None:
    ids = random_ids(30)
    with pytest.raises(UserError, match=r"rule=rms reads the train split .* choose evaluator.rule=sgd"):
        evaluate(Dynamic(), model, ids, unk=0)
    with pytest.raises(UserError, match=r"temperature=auto reads the valid split .* give a number"):
        evaluate(Static(temperature="auto"), model, ids, unk=0)
    with pytest.raises(UserError, match=r"theta=auto reads the valid split .* give numbers"):
        evaluate(Cache(theta="auto"), model, ids, unk=0)
    with pytest.raises(UserError, match=r"lower evaluator\.lr"):
        evaluate(Dynamic(rule="sgd", lr=3e38), model, ids, unk=0)
    with pytest.raises(UserError, match="frozen"):
        evaluate(DYNAMIC, model.requires_grad_(False), ids, unk=0)


@pytest.mark.parametrize(
    ("evaluator", "cause"),
    [
        (Dynamic(rule="sgd", temperature=1e-40), "not finite with evaluator.temperature=1e-40; choose a value closer"),
        (replace(DYNAMIC, temperature=1e-22), "evaluator.temperature=1e-22"),
        (replace(DYNAMIC, temperature=1e36), r"gradients of the training text is 0 in .*evaluator.temperature=1e\+36"),
    ],
)
def test_a_temperature_is_not_called_divergence(
    evaluator: Evaluator, cause: str, model: RecurrentLanguageModel
) -> None:
    model.head.linear.bias.data[3] = 9
    with pytest.raises(UserError, match=cause) as said:
        evaluate(evaluator, model, random_ids(30), unk=0)
    assert "diverged" not in str(said.value)
    assert "closer to 1" in str(said.value)
    with pytest.raises(UserError, match=r"after update 1; lower evaluator.lr, or raise evaluator.temperature=0.5"):
        evaluate(Dynamic(rule="sgd", lr=3e38, temperature=0.5), model, random_ids(30), unk=0)


@pytest.mark.parametrize("evaluator", [Static(temperature=1e-39), Cache(temperature=1e-39)])
def test_a_perplexity_that_is_not_a_number_is_no_figure(evaluator: Evaluator, model: RecurrentLanguageModel) -> None:
    model.head.linear.bias.data[3] = 9
    with pytest.raises(UserError, match=r"evaluator\.temperature=1e-39: choose a value closer to 1"):
        evaluate(evaluator, model, VALID, unk=0)


def test_what_the_model_itself_cannot_do_is_no_divergence_of_the_evaluation(model: RecurrentLanguageModel) -> None:
    model.head.linear.bias.data[3] = math.inf
    with pytest.raises(UserError, match="before the first update: the model's own weights are too large"):
        evaluate(Dynamic(rule="sgd"), model, random_ids(30), unk=0)
    with pytest.raises(UserError, match="temperature=auto: the model's nats on the validation text are not finite"):
        best_temperature(model, VALID)


@pytest.fixture
def run(train: Callable[..., Run], text_file: Path, tmp_path: Path) -> Run:
    own = tmp_path / "own.txt"
    own.write_text(text_file.read_text())
    return train("data=text", f"data.train={own}", *TINY, "trainer.limit_train_batches=20")


def figures(run: Run, *settings: str) -> dict[str, Any]:
    out = run.dir / "figures.json"
    evaluate_script(configure("evaluate", f"checkpoint={run.dir}", f"out={out}", "accelerator=cpu", *settings))
    return json.loads(out.read_text())


def test_the_script_scores_by_every_evaluator(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    static = figures(run)
    assert static["settings"] == {"temperature": 1.0, "window": 512}
    few = "evaluator.statistics_windows=3"
    for name, extra in (
        ("cache", []),
        ("dynamic", [few]),
        ("dynamic_cache", ["evaluator.reader.statistics_windows=3"]),
    ):
        found = figures(run, f"evaluator={name}", "split=valid", *extra)
        assert (found["evaluator"], found["split"]) == (name, "valid")
        assert found["perplexity"] == pytest.approx(math.exp(found["nats"] / found["tokens"]))
        assert found["found_on_valid"] == []
    assert found["settings"]["reader"]["lr"] == 5e-5
    assert figures(run, "evaluator=cache", "evaluator.weight=0")["nats"] == static["nats"]
    assert figures(run, "evaluator=dynamic", "evaluator.lr=0")["nats"] == static["nats"]
    assert figures(run, "evaluator=dynamic", "evaluator.rule=sgd")["nats"] != static["nats"]
    capsys.readouterr()
    auto = [f"evaluator.{key}=auto" for key in ("temperature", "weight", "theta")]
    found = figures(run, "evaluator=cache", *auto)
    assert sorted(found["found_on_valid"]) == ["temperature", "theta", "weight"]
    assert found["settings"]["temperature"] in [round(temperature, 2) for temperature in TEMPERATURES]
    assert f"found on the validation text: temperature {found['settings']['temperature']}" in capsys.readouterr().out
    # Found numbers and the same numbers given by hand are the same evaluation.
    given = [f"evaluator.{key}={found['settings'][key]}" for key in ("temperature", "weight", "theta")]
    assert figures(run, "evaluator=cache", *given)["nats"] == pytest.approx(found["nats"])


def test_a_text_of_ones_own_needs_the_training_text_for_the_statistics(run: Run, tmp_path: Path) -> None:
    text = ["text=w1 w2 w3 w1 w2", "evaluator=dynamic"]
    assert figures(run, *text)["tokens"] == 5
    (tmp_path / "own.txt").unlink()
    with pytest.raises(UserError, match=r"rule=rms reads the train split .*own.txt does not exist") as said:
        figures(run, *text)
    assert "evaluator.rule=sgd" in str(said.value)
    with pytest.raises(UserError, match=r"temperature=auto reads the valid split .*own.txt does not exist"):
        figures(run, *text[:1], "evaluator.temperature=auto")
    assert figures(run, *text, "evaluator.rule=sgd")["tokens"] == 5
    assert figures(run, *text[:1], "evaluator=cache")["tokens"] == 5


LONG_TEXT = """
import numpy as np
import torch
from lm.system.memory import resident
from lm.evaluation import Dynamic, evaluate
from lm.models import RecurrentLanguageModel

torch.manual_seed(0)
model, text = RecurrentLanguageModel(10_000, 64, 64), np.random.default_rng(0).integers(0, 10_000, 2_000)
learning = Dynamic(rule="sgd", lr=1e-9)
evaluate(learning, model, text[:100], unk=0)
before = resident()
evaluate(learning, model, text, unk=0)
print((resident() - before) / 2**20)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text() -> None:
    """400 updates in a separate process; small tensors kept between large ones once cost half a megabyte each."""
    done = subprocess.run([sys.executable, "-c", LONG_TEXT], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 80
