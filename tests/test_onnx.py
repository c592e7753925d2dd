"""The step as ONNX, run by ONNX Runtime, against the model: every model, every head."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Done
from test_export import MODELS, checkpoint_of

from lm.models.interfaces import LanguageModel
from lm.runs.exported import CARD, VOCAB
from lm.runs.exported_onnx import STATE, STEP

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

SLOW = pytest.mark.slow  # the exporter takes seconds for each


@pytest.mark.parametrize("name", ["slstm", *(pytest.param(name, marks=SLOW) for name in MODELS if name != "slstm")])
def test_fifty_steps_agree(name: str, call: Callable[..., Done], tmp_path: Path) -> None:
    model = checkpoint_of(tmp_path / "a.ckpt", *MODELS[name])
    out = tmp_path / "out"
    done = call("export", f"checkpoint={tmp_path / 'a.ckpt'}", f"out={out}", "format=onnx")
    assert done.code == 0, done.err
    assert {file.name for file in out.iterdir()} == {STEP, STATE, VOCAB, CARD}
    for one in (b".py", str(Path.cwd()).encode(), str(tmp_path).encode()):
        assert one not in (out / STEP).read_bytes()  # the exporter writes where each node comes from
    assert "bytes" in done.out
    assert "ONNX]" not in done.out
    session = onnxruntime.InferenceSession(str(out / STEP), providers=["CPUExecutionProvider"])
    described = json.loads((out / STATE).read_text())["state"]
    for batch in (1, 4):
        hold_against_the_model(session, described, model, batch)


def hold_against_the_model(session: Any, described: list[dict[str, Any]], model: LanguageModel, batch: int) -> None:
    theirs = [np.full([batch, *one["shape"][1:]], one["first"], dtype=one["type"]) for one in described]
    state = model.initial_state(batch)
    for words in torch.randint(40, (50, batch)):
        feed = {"token": words.numpy(), **{one["name"]: part for one, part in zip(described, theirs, strict=True)}}
        found, *theirs = session.run(None, feed)
        with torch.inference_mode():
            hidden, state = model.step(words, state)
            expected = model.head.logits(hidden).log_softmax(dim=-1)
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=0)


def test_a_missing_package_is_named(call: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint_of(tmp_path / "a.ckpt")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    done = call("export", f"checkpoint={tmp_path / 'a.ckpt'}", f"out={tmp_path / 'out'}", "format=onnx")
    assert done.code == 1
    assert "onnxruntime, which is not installed: pip install onnx onnxscript onnxruntime" in done.err
