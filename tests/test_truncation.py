"""The study of detaching: its measurements, and the sentences that follow from them."""

from __future__ import annotations

import itertools
import json
import math
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from conftest import TINY, Run, configure
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lm.commands.tbptt import tbptt
from lm.data.streams import Windows
from lm.models.heads.adaptive import Adaptive
from lm.models.heads.softmax import SoftmaxHead
from lm.models.interfaces import LanguageModel, State
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.studies.benchmark.sizes import Sizes
from lm.studies.benchmark.step import BareStep
from lm.studies.truncation import memory, suite
from lm.studies.truncation.arrangement import Arrangement, arrange
from lm.studies.truncation.drawing import picture
from lm.studies.truncation.equality import Equality, by_definition, compare_gradients, undetached, with_detach
from lm.studies.truncation.error import attempts
from lm.studies.truncation.figures import Figures, ModelFigures, Point, Recorded, Stream
from lm.studies.truncation.findings import not_shown, sentences, versus
from lm.studies.truncation.graph import record
from lm.studies.truncation.reach import Reach, gradient_norms, reach
from lm.system.errors import UserError
from lm.training.forcing.forcing import Forcing
from lm.training.module import LanguageModule
from lm.training.optim.optimisers import Adam

SMALL = Sizes(batch_size=2, window=4, embedding_size=5, hidden_size=6, num_layers=2, vocab_size=11)


def test_deleting_the_detach_fails_as_the_report_shows() -> None:
    deleted, retained, frozen = attempts()
    assert (deleted.failed_at, retained.failed_at, frozen.failed_at) == (2, 2, None)
    assert "backward through the graph a second time" in str(deleted.message)
    assert "modified by an inplace operation" in str(retained.message)


# Gradients


def test_detached_gradients_equal_the_truncated_ones_and_no_others() -> None:
    torch.manual_seed(0)
    model, windows = SMALL.model().double(), list(SMALL.windows(3))
    ours, theirs = with_detach(model, windows), by_definition(model, windows)
    for mine, defined in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, defined, rtol=1e-10, atol=1e-14)
    whole = undetached(model, windows)
    assert max(float((a - b).abs().max()) for a, b in zip(whole, ours[-1], strict=True)) > 1e-4
    found = compare_gradients(model, windows)
    assert found.largest_difference < 1e-10
    assert 0 < found.dropped < 1
    assert compare_gradients(model, windows[:1]) == Equality(0.0, 0.0, pytest.approx(1.0))


def test_clusters_that_no_target_falls_into_have_no_gradient() -> None:
    torch.manual_seed(0)
    model = RecurrentLanguageModel(100, 8, 16, head=Adaptive([20, 60], 2.0))
    windows = Windows(np.random.default_rng(0).integers(0, 20, 400), 4, 30)
    found = compare_gradients(model, list(windows))
    assert found.largest_difference < 1e-10
    assert 0 < found.dropped < 1


class Fading(LanguageModel):
    """A model whose state keeps a known share of itself at each step."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.vocab_size, self.share = 7, share
        self.embedding, self.output_dropout, self.head = nn.Embedding(7, 3), nn.Identity(), SoftmaxHead(3, 7)

    def initial_state(self, batch_size: int) -> State:
        return [(self.embedding.weight.new_zeros(batch_size, 3),)]

    def read_one(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        h = self.share * state[0][0] + self.embedding(tokens)
        return h, [(h,)]

    def read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        raise NotImplementedError


@pytest.mark.parametrize("share", [0.5, 1.0, 1.25])
def test_reach_of_a_model_that_forgets_by_a_known_share(share: float) -> None:
    streams = np.random.default_rng(0).integers(7, size=(2, 40))
    norms = gradient_norms(Fading(share), streams, steps=8, places=3)
    assert norms.shape == (6, 9)
    expected = norms[:, :1] * share ** torch.arange(9)
    torch.testing.assert_close(norms, expected.double())
    found = reach(Fading(share), streams, steps=8, places=3)
    assert found.steps_to(0.1) == (4 if share == 0.5 else None)
    assert Reach([1.0, 0.01, 0.5, 0.01, 0.0], [], []).steps_to(0.1) == 3  # a norm that rises again has not vanished
    assert found.share_at(3) == pytest.approx(share**3)
    assert all(low <= high for low, high in zip(found.low, found.high, strict=True))


def test_reach_equals_differences_of_the_loss() -> None:
    """The norm one step back, against finite differences of the loss in every direction of the state."""
    torch.manual_seed(0)
    model = RecurrentLanguageModel(5, 3, 4).double()
    ids = np.array([[1, 2, 3, 4]])
    norms = gradient_norms(model, ids, steps=2, places=1)[0]  # losses at 4, states after 3, 2, 1
    words = torch.from_numpy(ids)

    def loss(h: Tensor, c: Tensor) -> Tensor:
        hidden, _ = model.step(words[:, 2], [(h, c)])
        return F.cross_entropy(model.head.logits(hidden), words[:, 3])  # `nll` rounds to float32

    state = model.initial_state(1)
    for t in (0, 1):
        _, state = model.step(words[:, t], state)
    ((h, c),) = state
    pushes = 1e-6 * torch.eye(8, dtype=torch.float64).view(8, 1, 8)
    slopes = [
        (loss(h + push[:, :4], c + push[:, 4:]) - loss(h - push[:, :4], c - push[:, 4:])) / 2e-6 for push in pushes
    ]
    assert float(torch.stack(slopes).detach().norm()) == pytest.approx(float(norms[1]), rel=1e-5)


def test_what_a_detach_cuts_off_by_hand() -> None:
    even = Reach([1.0] * 4, [1.0] * 4, [1.0] * 4)
    assert even.share_cut(2) == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert Reach([1.0, 0.0], [1, 0], [1, 0]).share_cut(5) == 0
    with pytest.raises(UserError, match="lower reach or places"):
        reach(SMALL.model(), np.zeros((2, 40)), steps=20, places=2)


# Memory and time


@pytest.mark.slow
def test_memory_grows_by_at_least_the_log_probabilities_of_each_window() -> None:
    """A kept window holds at least its logits: a float for each token and word."""
    sizes = Sizes(batch_size=20, window=30, embedding_size=4, hidden_size=4, vocab_size=1000)
    one, five = (memory.peak_bytes(sizes, windows, updates=1) for windows in (1, 5))
    a_window = 20 * 30 * 1000 * 4
    assert 0.95 * 4 * a_window < five - one < 4 * 4 * a_window


def test_a_process_that_dies_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.CompletedProcess([], -9, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: dead)
    with pytest.raises(UserError, match=r"2 windows of 4 tokens.*memory does not suffice.*lower windows"):
        memory.peak_bytes(SMALL, 2, 1)


def test_what_is_measured_is_the_step_of_training() -> None:
    """The weights after two updates over two windows each equal LanguageModule's."""
    torch.manual_seed(0)
    model = SMALL.model()
    module = LanguageModule(SMALL.model(), Forcing(), Adam(lr=0.002), 2, 2, tbptt_windows=2, unk=0)
    module.model.load_state_dict(model.state_dict())
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, log_every_n_steps=1000,
    )  # fmt: skip
    trainer.fit(module, SMALL.windows(4))
    training, windows, state = BareStep(model), list(SMALL.windows(4)), model.initial_state(2)
    for first in (0, 2):
        state = training.update(windows[first : first + 2], state)
    for mine, theirs in zip(model.parameters(), module.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_measurements_are_of_what_was_asked_for() -> None:
    found = memory.measure(SMALL, 2, 2)
    assert found.bytes >= 0
    assert 0 < found.seconds < 60


# The graph


def test_the_recorded_graph_is_cut_where_the_state_is_detached() -> None:
    whole, cut = record(detached=False), record(detached=True)
    for graph, reached in ((whole, {1, 2, 3}), (cut, {3})):
        assert graph.reached_windows(graph.find("loss", 3)) == reached
        shorter = graph.without_reshapes()
        assert shorter.reached_windows(shorter.find("loss", 3)) == reached
        assert {name for node in shorter.nodes.values() for name in node.weights} == {
            name for name, _ in RecurrentLanguageModel(7, 2, 3).named_parameters()
        }
    assert cut.crossing == []
    assert {(whole.nodes[a].window, whole.nodes[b].window) for a, b in whole.crossing} == {(2, 1), (3, 2)}


@pytest.mark.parametrize("fused", [True, False])
def test_a_drawing_shows_what_crosses_and_where_it_is_cut(fused: bool) -> None:
    """`fused`: the LSTM is one operation; without oneDNN it is about twenty."""
    with torch.backends.mkldnn.flags(enabled=fused):
        whole, cut = (arrange(record(detached).without_reshapes()) for detached in (False, True))
    assert (len(whole.crossing), len(whole.cuts)) == (4, 0)
    assert (len(cut.crossing), len(cut.cuts)) == (0, 2)
    assert not any("detached" in card.label for card in whole.cards.values())
    cuts = [card.label for card in cut.cards.values() if "detached" in card.label]
    assert cuts == [f"h, c of window {window}\ndetached: numbers only" for window in (1, 2)]
    for drawn in (whole, cut):
        assert len({card.label for card in drawn.cards.values()} & {"loss", "Embedding", "LinearCrossEntropy"}) == 3
        assert _apart(drawn)


def _apart(drawn: Arrangement) -> bool:
    """Whether no two cards overlap and each is inside one window."""
    boxes = [(c.middle - c.width / 2, c.middle + c.width / 2, c.top, c.top + c.height) for c in drawn.cards.values()]
    inside = all(sum(left < a and b < right for left, right in drawn.frames) == 1 for a, b, _, _ in boxes)
    return inside and all(
        a[1] < b[0] or b[1] < a[0] or a[3] < b[2] or b[3] < a[2] for a, b in itertools.combinations(boxes, 2)
    )


def test_the_drawing_is_a_picture_as_wide_as_a_page() -> None:
    drawn = picture(record(detached=False))
    assert drawn.startswith(b"\x89PNG")
    assert 1200 < int.from_bytes(drawn[16:20], "big") < 1800


# Sentences

POINTS = [Point(k, 30, 10**7 * k, 0.01 * k, 0.009 * k, 0.011 * k) for k in (1, 4)]
FIGURES = Figures(
    attempts=attempts(),
    by_windows=POINTS,
    by_length=[Point(1, 120, 4 * 10**7, 0.04, 0.039, 0.041)],
    streams=[Stream(10, 10**7), Stream(1000, 10**7 + 1000)],
    models={
        "untrained": ModelFigures(Reach([1.0, 0.009, 0.001], [1, 0, 0], [1, 1, 1]), Equality(0.0, 0.1, 0.99)),
        "trained": ModelFigures(Reach([1.0, 0.5, 0.009], [1, 0, 0], [1, 1, 1]), Equality(1e-15, 0.2, 0.98)),
    },
    graphs={"without detach": Recorded(9, 9, 2, [1, 2, 3]), "with detach": Recorded(9, 7, 0, [3])},
    window=2,
    sizes=SMALL,
    device="cpu",
    torch="2",
    threads=1,
)


def said(figures: Figures) -> str:
    return "\n".join([*sentences(figures), *not_shown(figures)])


def test_every_claim_has_its_source() -> None:
    assert not re.findall(r"\b(They|they|them|One says)\b", "\n".join(not_shown(FIGURES)))
    assert all("the classic exercise" in claim.lower() for claim in not_shown(FIGURES))


@given(st.floats(1e-3, 1e12), st.floats(1e-3, 1e12))
def test_more_and_less_are_never_mixed_up(value: float, other: float) -> None:
    words = versus(value, other)
    if words == "about the same as":
        assert value == pytest.approx(other, rel=0.05)
    else:
        assert words.endswith(" times") == (value > other)
        assert words.startswith("only ") == (value < other)


def test_sentences_follow_the_figures() -> None:
    text = said(FIGURES)
    assert "40 MB above the idle model's, 4 times the 10 MB" in text
    assert "adds 10 MB; at this rate the 1,549 windows" in text
    assert "would take 15.5 GB" in text
    assert "memory does not grow with the stream's length" in text
    assert "Memory depends on the tokens between two updates: 4 windows of 30" in text
    assert "no difference beyond the variation" in text
    assert "(Trying to backward through the graph a second time)" in text
    assert "gradients reach further than in the untrained one: 2 steps to 1%, against 1" in text
    assert "DIFFERS" not in text


def test_other_figures_turn_the_sentences_round() -> None:
    slow = replace(FIGURES, by_windows=[POINTS[0], Point(4, 30, 4 * 10**7, 0.08, 0.07, 0.09)])
    assert "20 ms with tbptt.windows=4: 100% slower" in said(slow)
    fast = replace(FIGURES, by_windows=[POINTS[0], Point(4, 30, 4 * 10**7, 0.02, 0.019, 0.021)])
    assert "5 ms with tbptt.windows=4: 50% faster" in said(fast)
    less = said(replace(FIGURES, by_windows=[POINTS[0], Point(4, 30, 5 * 10**6, 0.04, 0.03, 0.05)]))
    assert "only 50% of the 10 MB" in less
    assert "does not grow" in less
    growing = said(replace(FIGURES, streams=[Stream(10, 10**7), Stream(1000, 3 * 10**7)]))
    assert "memory depends on the stream's length" in growing
    assert "20 MB more from the first to the last" in growing
    shrinking = said(replace(FIGURES, streams=[Stream(10, 3 * 10**7), Stream(1000, 10**7)]))
    assert "20 MB less from the first to the last" in shrinking
    swapped = dict(zip(("untrained", "trained"), reversed(list(FIGURES.models.values())), strict=True))
    assert "gradients reach less far than in the untrained one" in said(replace(FIGURES, models=swapped))
    same = dict.fromkeys(swapped, FIGURES.models["trained"])
    assert "gradients reach as far as in the untrained one" in said(replace(FIGURES, models=same))
    wrong = {"untrained": replace(FIGURES.models["untrained"], gradients=Equality(0.1, 0.1, 0.9))}
    assert "detach DIFFERS FROM the explicitly truncated one" in said(replace(FIGURES, models=wrong))
    cut = replace(FIGURES, by_length=[Point(1, 120, 8 * 10**7, 0.04, 0.03, 0.05)])
    assert (
        "Memory depends on how tokens are cut into windows: 4 windows of 30 take 40 MB, only 50% of the 80 MB"
        in said(cut)
    )
    once = [replace(point, low=point.seconds, high=point.seconds) for point in slow.by_windows]
    assert "how much they vary is not known" in said(replace(slow, by_windows=once))


# The command

QUICK = [
    "sizes.batch_size=2", "sizes.window=4", "sizes.hidden_size=8", "sizes.vocab_size=20", "windows=[1,3]",
    "lengths=[4,12]", "streams=[2,5]", "rounds=1", "updates=1", "reach=6", "places=2", "accelerator=cpu",
]  # fmt: skip


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run the command with measurements in this process; returns the report's folder."""
    monkeypatch.setattr(suite, "peak_bytes", lambda sizes, k, updates, on: 10**6 * sizes.window * k)
    monkeypatch.setattr(suite, "seconds_per_update", lambda *a: memory.measure(*a).seconds)

    def run(*overrides: str) -> Path:
        tbptt(configure("tbptt", *QUICK, f"out={tmp_path / 'report'}", *overrides))
        return tmp_path / "report"

    return run


def test_the_report_is_whole(ask: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = ask()
    printed = capsys.readouterr()
    assert "[1/" in printed.err
    found = json.loads((folder / "report.json").read_text())
    assert [point["bytes"] for point in found["by_windows"]] == [4 * 10**6, 12 * 10**6]
    assert [stream["windows"] for stream in found["streams"]] == [2, 5]
    html, markdown = unescape((folder / "report.html").read_text()), (folder / "report.md").read_text()
    for sentence in [*found["sentences"], *found["not_shown"]]:
        assert sentence in printed.out
        assert sentence in html
    assert found["attempts"][0]["message"] in html
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    pictures = re.findall(r"!\[.*\]\((.*)\)", markdown)
    graphs = {"graph-without-detach.png", "graph-with-detach.png"}
    assert graphs | {"memory.png", "seconds.png", "reach.png"} == set(pictures)
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert html.count("data:image/png") == len(pictures)


def test_a_trained_model_is_followed_on_its_own_text(
    ask: Callable[..., Path], train: Callable[..., Run], text_file: Path
) -> None:
    run = train("data=text", f"data.train={text_file}", *TINY, "trainer.limit_train_batches=2")
    found = json.loads((ask(f"checkpoint={run.dir}") / "report.json").read_text())
    assert set(found["models"]) == {"untrained", "trained"}
    assert found["window"] == 6
    assert found["models"]["trained"] != found["models"]["untrained"]
    assert all(math.isfinite(norm) for norm in found["models"]["trained"]["reach"]["mean"])


def test_a_run_with_little_text_is_followed_in_fewer_streams_or_refused(
    ask: Callable[..., Path], train: Callable[..., Run], text_file: Path
) -> None:
    texts = [f"data.{split}={text_file}" for split in ("train", "test")]
    valid, words = text_file.with_name("valid.txt"), text_file.read_text().split()
    settings = ["data=text", *texts, f"data.valid={valid}", *TINY, "data.window=70", "trainer.limit_train_batches=2"]
    for count, name in ((300, "enough"), (150, "less")):
        valid.write_text(" ".join(words[:count]) + "\n")
        run = train(*settings, name=name)
        if name == "enough":
            assert json.loads((ask(f"checkpoint={run.dir}") / "report.json").read_text())["window"] == 70
        else:
            with pytest.raises(UserError, match="2 of the 3 windows of 70 tokens"):
                ask(f"checkpoint={run.dir}")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("windows=[1]", r"windows needs two or more different numbers.*windows=\[1,10\]"),
        ("windows=[0,1]", "windows must be each at least 1; got 0"),
        ("streams=[]", "streams needs two or more"),
        ("rounds=0", "rounds must be at least 1; got 0"),
        ("reach=0", "reach must be at least 1"),
        ("seed=-1", "seed must be at least 0"),
        ("checkpoint=no/such/run", "checkpoint: no/such/run does not exist"),
        ("sizes.hidden_size=0", "hidden_size must be at least 1"),
        ("accelerator=mps", "accelerator=mps"),
    ],
)
def test_mistakes_are_sentences_before_anything_is_measured(
    ask: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, override: str, message: str
) -> None:
    monkeypatch.setattr(suite, "measure", lambda *_: pytest.fail("was measured"))
    with pytest.raises(UserError, match=message):
        ask(override)


def test_a_file_is_no_folder_for_a_report(ask: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"out: .* is a file; name a folder"):
        ask(f"out={tmp_path / 'file'}")
