"""Our own LSTM window against torch's LSTM, and where it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import TINY, Run, stacked
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lm.models.cells import lstm
from lm.models.cells.gru import GRU
from lm.models.cells.lstm import LSTM, check_recurrence, choose_recurrence
from lm.models.kernels import lstm_window as kernel
from lm.models.kernels.lstm_window import lstm_window
from lm.system.errors import UserError

sizes = st.integers(1, 9)
BF16 = torch.autocast("cpu", torch.bfloat16)


def parts(batch: int, steps: int, inputs: int, units: int, dtype: torch.dtype) -> list[Tensor]:
    """x, h, c and the four weights of a layer as torch draws them."""
    drawn = [torch.randn(batch, steps, inputs), *(torch.randn(batch, units) for _ in range(2))]
    weights = LSTM().layer(inputs, units).weights()
    return [part.detach().to(dtype).requires_grad_() for part in (*drawn, *weights)]


def by_torch(x: Tensor, h: Tensor, c: Tensor, weights: list[Tensor]) -> tuple[Tensor, ...]:
    out, h, c = torch.lstm(x, (h.unsqueeze(0), c.unsqueeze(0)), weights, True, 1, 0.0, True, False, True)
    return out, h.squeeze(0), c.squeeze(0)


def gradients(read: Callable[..., tuple[Tensor, ...]], given: list[Tensor], toward: list[Tensor]) -> list[Tensor]:
    """What a window returns, and the gradients of all that it is given."""
    found = read(*given[:3], given[3:])
    total = torch.stack([(part * to).sum() for part, to in zip(found, toward, strict=True)]).sum()
    return [*found, *torch.autograd.grad(total, given)]


@given(batch=sizes, steps=sizes, inputs=sizes, units=sizes, seed=st.integers(0, 99))
def test_a_window_of_any_size_is_torchs(batch: int, steps: int, inputs: int, units: int, seed: int) -> None:
    torch.manual_seed(seed)
    given = parts(batch, steps, inputs, units, torch.double)
    toward = [torch.randn(batch, steps, units), torch.randn(batch, units), torch.randn(batch, units)]
    for mine, theirs in zip(*(gradients(read, given, toward) for read in (lstm_window, by_torch)), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("steps", [35, 70, 140])
def test_in_bf16_values_and_gradients_are_within_1_percent_of_fp32(steps: int) -> None:
    torch.manual_seed(0)
    given = parts(8, steps, 48, 96, torch.float32)
    toward = [torch.randn(8, steps, 96), torch.randn(8, 96), torch.randn(8, 96)]
    exact = gradients(by_torch, given, toward)
    with BF16:
        rounded = gradients(lstm_window, given, toward)
    assert rounded[0].dtype == torch.bfloat16
    assert rounded[2].dtype == torch.float32  # the memory is not rounded
    for one, other in zip(exact, rounded, strict=True):
        assert (one - other.float()).norm() <= 0.01 * one.norm()


def test_only_what_needs_a_gradient_gets_one() -> None:
    given = parts(2, 3, 4, 5, torch.float32)
    for frozen in (0, 3, 4):
        given[frozen].requires_grad_(False)
    lstm_window(*given[:3], given[3:])[0].sum().backward()
    assert [part.grad is None for part in given] == [True, False, False, True, True, False, False]


def test_a_gradient_of_a_gradient_is_refused_not_wrong() -> None:
    given = parts(2, 3, 4, 5, torch.float32)
    (first,) = torch.autograd.grad(lstm_window(*given[:3], given[3:])[0].square().sum(), given[4], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_dropped_weights_are_dropped_in_both() -> None:
    model = stacked(50, 8, 8, cell=LSTM(weight_dropout=0.5))
    words, found = torch.randint(50, (3, 7)), []
    for recurrence in ("own", "onednn"):
        choose_recurrence(model, recurrence)
        torch.manual_seed(0)
        hidden, _ = model(words, model.initial_state(3))
        found.append([hidden, *torch.autograd.grad(hidden.square().sum(), list(model.layers.parameters()))])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_auto_is_the_faster_one_by_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(lstm, "lstm_window", lambda *given: used.append(given[0].shape[1]) or lstm_window(*given))
    monkeypatch.setattr(kernel, "FEWEST_UNITS", 8)
    enough, few = LSTM().layer(3, 8), LSTM().layer(3, 7)
    dropped = LSTM(state_dropout=0.5).layer(3, 8)

    def reads(layer: Any, steps: int) -> None:
        layer.window(torch.randn(2, steps, 3), layer.first(2))

    reads(enough, kernel.MOST_TOKENS // 2 + 1)  # in fp32
    with BF16:
        reads(enough, 2)
        reads(few, 3)
        reads(dropped, 4)
        with torch.no_grad():
            reads(enough, 5)
        choose_recurrence(enough, "onednn")
        reads(enough, 6)
    choose_recurrence(enough, "own")
    reads(enough, 7)
    assert used == [2, 7]
    monkeypatch.setattr(kernel, "AVX512", True)
    choose_recurrence(enough, "auto")
    reads(enough, kernel.MOST_TOKENS // 2)
    monkeypatch.setattr(kernel, "AVX512", False)
    reads(enough, kernel.MOST_TOKENS // 2)
    assert used == [2, 7, kernel.MOST_TOKENS // 2]


def test_a_choice_without_effect_is_refused() -> None:
    check_recurrence("auto", "cuda")
    with pytest.raises(UserError, match=r"accelerator.recurrence=own is for the CPU; this run is on cuda"):
        check_recurrence("own", "cuda")
    for cell in (GRU(), LSTM(state_dropout=0.1)):
        choose_recurrence(stacked(50, 8, 8, cell=cell), "auto")
        with pytest.raises(UserError, match=r"accelerator.recurrence=own is for LSTM layers"):
            choose_recurrence(stacked(50, 8, 8, cell=cell), "own")


def test_the_memory_is_not_rounded_though_it_came_rounded() -> None:
    given = parts(2, 3, 4, 5, torch.float32)
    with BF16:
        _, _, c = lstm_window(given[0], given[1], given[2].bfloat16(), given[3:])
    assert c.dtype == torch.float32


def test_a_run_takes_the_chosen_one(train: Callable[..., Run], text_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(lstm, "lstm_window", lambda *given: calls.append(1) or lstm_window(*given))
    settings = ["data=text", f"data.train={text_file}", *TINY, "accelerator.precision=32-true"]
    found = {}
    for recurrence in ("own", "onednn"):
        run = train(*settings, f"accelerator.recurrence={recurrence}", name=recurrence)
        found[recurrence] = run.result["valid"]["perplexity"], len(calls)
        calls.clear()
    assert found["own"][1] > 0
    assert found["onednn"][1] == 0
    assert found["own"][0] == pytest.approx(found["onednn"][0], rel=1e-4)
