"""A model's step as ONNX, for programs without PyTorch: checked against the model before it is kept.

| file | holds |
|---|---|
| `step.onnx` | `token` [batch], `state_0` ... -> `log_probabilities` [batch, words], `next_state_0` ... |
| `step.json` | for each tensor of the state: name, shape, type and first value |
| `vocab.json`, `tokenizer.json`, `README.md` | as in `lm.runs.exported` |
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lm.models.interfaces import LanguageModel, tensors_of
from lm.models.one_step import OneStep
from lm.runs.exported import CARD, write_vocabulary
from lm.system.errors import UserError
from lm.system.extras import needed
from lm.system.files import ANOTHER_FOLDER, whole, write_json, write_text

STEP, STATE = "step.onnx", "step.json"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
ASKED, INSTALL = "format=onnx", " ".join(PACKAGES)
TRACED, CHECKED = 3, 1  # sequences with which the step is traced, and with which it is checked
TOLERANCE, STEPS = 1e-4, 50  # of log-probabilities, over so many steps of random words


def write_onnx(folder: Path, model: LanguageModel, vocab: Mapping[str, Any], card: str) -> None:
    """Write a model's step and what one needs to run it into a folder, which must exist.

    Raises UserError if a package is missing, if ONNX cannot express the model, or if what it computes differs.
    """
    for package in PACKAGES:
        needed(package, ASKED, INSTALL)
    described = list(_described(model))
    step = OneStep(model).eval()
    with whole(folder / STEP, ANOTHER_FOLDER) as aside:
        _write(step, aside)
        _check(step, aside)
    write_vocabulary(folder, vocab)
    write_json(folder / STATE, {"state": described})
    write_text(folder / CARD, card)


def _write(step: OneStep, file: Path) -> None:
    state = tensors_of(step.model.initial_state(TRACED))
    tokens = torch.zeros(TRACED, dtype=torch.long)
    names = [f"state_{place}" for place in range(len(state))]
    batch = torch.export.Dim("batch", min=1)
    try:
        with _quiet():
            step(tokens, *state)  # so that what the model keeps between calls is made by it, and not by the exporter
            program: Any = torch.onnx.export(
                step,
                (tokens, *state),
                input_names=["token", *names],
                output_names=["log_probabilities", *(f"next_{name}" for name in names)],
                dynamic_shapes={"tokens": {0: batch}, "state": tuple({0: batch} for _ in state)},
                dynamo=True,
                verbose=False,
            )
            # Without them each node would name the files of this machine that it comes from.
            needed("onnx_ir.passes.common", ASKED, INSTALL).ClearMetadataAndDocStringPass()(program.model)
            program.save(str(file), external_data=False)
    except UserError:
        raise
    except Exception as error:  # torch's exporter fails in many ways; the first cause says what it could not express
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        first = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
        raise UserError(
            f"format=onnx: {type(step.model).__name__} with {type(step.model.head).__name__} cannot be written as "
            f"ONNX: {first}; choose format=safetensors"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own messages, which are of no use to a user."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"), torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        logger.setLevel(before)


def _check(step: OneStep, file: Path) -> None:
    """Raise UserError if the file's log-probabilities differ from the model's, over steps of random words."""
    session = needed("onnxruntime", ASKED, INSTALL).InferenceSession(str(file), providers=["CPUExecutionProvider"])
    inputs, outputs = ([one.name for one in ends] for ends in (session.get_inputs(), session.get_outputs()))
    words = torch.randint(step.model.vocab_size, (STEPS, CHECKED), generator=torch.Generator().manual_seed(0))
    state: list[Tensor] = tensors_of(step.model.initial_state(CHECKED))
    theirs, differences = [part.numpy() for part in state], []
    with torch.inference_mode():
        for word in words:
            ours, *state = step(word, *state)
            found, *theirs = session.run(outputs, dict(zip(inputs, [word.numpy(), *theirs], strict=True)))
            differences.append((torch.from_numpy(found) - ours).abs().max())
    largest = float(torch.stack(differences).max())  # not a number, if one of them is not
    if not largest <= TOLERANCE:
        raise UserError(
            f"format=onnx: over {STEPS} steps its log-probabilities differ from the model's by {largest:.2g}, more "
            f"than {TOLERANCE:g}; choose format=safetensors"
        )


def _described(model: LanguageModel) -> Iterator[dict[str, Any]]:
    for place, part in enumerate(tensors_of(model.initial_state(1))):
        first = part.unique().tolist()
        if len(first) > 1:
            raise UserError(
                "format=onnx: the model's first state is not one value for each tensor, so step.json cannot describe "
                "it; choose format=safetensors"
            )
        kind = str(part.dtype).removeprefix("torch.")
        shape = ["batch", *part.shape[1:]]
        yield {"name": f"state_{place}", "shape": shape, "type": kind, "first": first[0] if first else 0}
