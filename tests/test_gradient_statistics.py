"""Gradient statistics of dynamic evaluation are computed once for a model, a text and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor

from lm.evaluation import Dynamic, evaluate, gradient_statistics
from lm.models.recurrent_language_model import RecurrentLanguageModel

V = 12
TRAIN, TEXT = (np.random.default_rng(seed).integers(0, V, 90) for seed in (7, 8))
DYNAMIC = Dynamic(3, lr=0.02, decay=0.1, streams=4, corpus={"train": TRAIN}.__getitem__)


@pytest.fixture
def computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one each time statistics are computed, with an empty cache at the start."""
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path))
    times: list[int] = []
    plain = Dynamic._measure
    monkeypatch.setattr(Dynamic, "_measure", lambda *given: times.append(1) or plain(*given))
    return times


def new_model() -> RecurrentLanguageModel:
    torch.manual_seed(0)
    return RecurrentLanguageModel(V, 6, 6, tied=True)


def nats(evaluator: Dynamic = DYNAMIC, model: RecurrentLanguageModel | None = None) -> Tensor:
    return evaluate(evaluator, model or new_model(), TEXT, unk=0)[1].nats


def test_a_second_call_takes_them_from_the_cache(computed: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    first = nats()
    assert capsys.readouterr().err == ""
    assert torch.equal(nats(), first)
    assert "gradient statistics: from an earlier call" in capsys.readouterr().err
    assert computed == [1]


def other_weights() -> dict[str, Any]:
    model = new_model()
    model.head.linear.bias.data[3] += 1e-6
    return {"model": model}


def other_model() -> dict[str, Any]:
    model = new_model()
    model.sum_layers = True  # the same weights, another computation
    return {"model": model}


def of_documents() -> dict[str, Any]:
    from lm.data.documents import Ids

    return {"evaluator": replace(DYNAMIC, corpus={"train": Ids(TRAIN, np.array([0, 40]))}.__getitem__)}


def frozen() -> dict[str, Any]:
    model = new_model()
    model.layers[0].weight_ih.requires_grad_(False)
    return {"model": model}


OTHERS: dict[str, Callable[[], dict[str, Any]]] = {
    "weights": other_weights,
    "model": other_model,
    "text": lambda: {"evaluator": replace(DYNAMIC, corpus={"train": TEXT}.__getitem__)},
    "documents": of_documents,
    "frozen weights": frozen,
    "window": lambda: {"evaluator": replace(DYNAMIC, window=4)},
    "streams": lambda: {"evaluator": replace(DYNAMIC, streams=3)},
    "statistics_windows": lambda: {"evaluator": replace(DYNAMIC, statistics_windows=2)},
    "temperature": lambda: {"evaluator": replace(DYNAMIC, temperature=1.1)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_they_depend_on_is_not_mixed_up(name: str, computed: list[int]) -> None:
    nats()
    nats(**OTHERS[name]())
    assert len(computed) == 2


def test_what_they_do_not_depend_on_needs_no_new_ones(computed: list[int]) -> None:
    nats()
    nats(replace(DYNAMIC, lr=0.01, decay=0.2, epsilon=1e-3))
    assert len(computed) == 1


@pytest.mark.parametrize("content", [b"", b"not a file of tensors"])
def test_a_damaged_file_is_written_again(content: bytes, computed: list[int], tmp_path: Path) -> None:
    first = nats()
    (file,) = (tmp_path / "gradients").iterdir()
    file.write_bytes(content)
    assert torch.equal(nats(), first)
    assert torch.equal(nats(), first)
    assert len(computed) == 2


def test_a_cache_that_cannot_be_written_costs_time_alone(computed: list[int], tmp_path: Path) -> None:
    (tmp_path / "gradients").write_text("a file in the folder's place")
    assert torch.equal(nats(), nats())
    assert len(computed) == 2


def test_a_full_disk_costs_time_alone(computed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise SafetensorError("I/O error: no space left on device")

    monkeypatch.setattr(gradient_statistics, "save_file", full)
    assert torch.equal(nats(), nats())
    assert len(computed) == 2


def test_a_model_with_parts_of_ones_own_is_measured_each_time(computed: list[int]) -> None:
    class Own(torch.nn.Identity):
        pass

    for _ in range(2):
        model = new_model()
        model.output_dropout = Own()
        nats(model=model)
    assert len(computed) == 2


def test_weights_in_bf16_have_a_key() -> None:
    model = new_model()
    assert gradient_statistics.key_of(model, TRAIN, []) != gradient_statistics.key_of(model.bfloat16(), TRAIN, [])


def test_only_a_few_files_are_kept(computed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_statistics, "MOST_FILES", 2)
    for window in (2, 3, 4):
        nats(replace(DYNAMIC, window=window))
    assert len(list((tmp_path / "gradients").iterdir())) == 2
