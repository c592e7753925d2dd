"""What is fed back: truth, argmax, samples, and mixtures that change during training."""

from __future__ import annotations

import math

import pytest
import torch

from lm.system.errors import UserError
from lm.training.forcing import Exponential, Forcing, InverseSigmoid, Linear

LOGITS = torch.tensor([[0.0, 5.0, 0.0], [9.0, 0.0, 0.0]]).repeat(500, 1)
TRUTH = torch.full((1000,), 2)


def test_decays_by_hand() -> None:
    assert [Linear(0.9, 0.1, 0.2).share(i) for i in (0, 3, 99)] == pytest.approx([0.9, 0.6, 0.2])
    assert [Exponential(0.5).share(i) for i in (0, 1, 3)] == [1.0, 0.5, 0.125]
    k = 10.0
    assert InverseSigmoid(k).share(0) == pytest.approx(10 / 11)
    assert InverseSigmoid(k).share(round(k * math.log(k))) == pytest.approx(0.5, abs=0.01)
    assert InverseSigmoid(k).share(10**9) == 0.0


def test_truth_and_argmax() -> None:
    assert Forcing().next_input(LOGITS, TRUTH, 1.0).equal(TRUTH)
    assert Forcing("argmax").next_input(LOGITS, TRUTH, 0.0).equal(LOGITS.argmax(-1))


def test_samples_come_from_the_models_distribution() -> None:
    torch.manual_seed(0)
    drawn = Forcing("sample").next_input(LOGITS[:1].expand(20_000, -1) * 0.2, torch.zeros(20_000).long(), 0.0)
    shares = torch.bincount(drawn, minlength=3) / 20_000
    torch.testing.assert_close(shares, (LOGITS[0] * 0.2).softmax(-1), atol=0.015, rtol=0)


def test_a_mixture_reads_the_truth_with_its_share() -> None:
    torch.manual_seed(0)
    read = Forcing("argmax", decay=Linear()).next_input(LOGITS, TRUTH, 0.7)
    assert (read == 2).float().mean().item() == pytest.approx(0.7, abs=0.05)
    assert read[read != 2].equal(LOGITS.argmax(-1)[read != 2])


def test_the_share_of_truth_follows_the_windows() -> None:
    assert Forcing().truth_share(10**6) == 1.0
    assert Forcing("argmax").truth_share(0) == 0.0
    assert Forcing("sample", decay=Linear(1.0, 0.01)).truth_share(25) == pytest.approx(0.75)


def test_no_gradient_flows_through_what_is_fed_back() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    for feedback in ("argmax", "sample"):
        assert not Forcing(feedback, decay=Linear(0.5)).next_input(logits, torch.zeros(4).long(), 0.5).requires_grad


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(start=1.5),
        lambda: Linear(slope=-1),
        lambda: Exponential(1.0),
        lambda: InverseSigmoid(0.5),
        lambda: Forcing("truth", decay=Linear()),
    ],
)
def test_values_out_of_range_are_named(make: object) -> None:
    with pytest.raises(UserError, match=r"forcing\.decay"):
        make()  # type: ignore[operator]
