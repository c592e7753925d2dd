"""The form of a part: shapes and types, nothing changed in place, and the same twice."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lm.models.contract.subject import BATCH, STEPS, Raised, Subject, largest, word
from lm.models.dropout import WindowMask
from lm.models.interfaces import tensors_of


def shapes(subject: Subject) -> Iterator[str]:
    state = subject.first()
    shapes = [tuple(part.shape) for part in tensors_of(state)]
    if any(shape[:1] != (BATCH,) for shape in shapes):
        yield (
            f"`{subject.FIRST}({BATCH})` must give tensors whose first dimension is the batch, {BATCH}, so that single "
            f"sequences can begin again; it gave the shapes {shapes}"
        )
    x = subject.inputs(STEPS)
    units = subject.UNITS or subject.step(x[:, 0], state)[0].shape[-1]
    for method, read, one in [*subject.reads(x), *subject.reads(x[:, :1])]:
        out, after = read(one, state)
        wanted = (*one.shape[: 1 if read == subject.step else 2], units)
        if tuple(out.shape) != wanted:
            yield f"`{method}` must return an output of shape {wanted} here; its shape is {tuple(out.shape)}"
        elif not out.isfinite().all():
            yield f"`{method}` must return finite outputs; from the first memory some are infinite or not a number"
        elif tuple(subject.scores(out).shape[:-1]) != wanted[:-1]:
            yield f"`head.logits` must return {wanted[:-1]} and the words, not {subject.scores(out).shape}"
        if (found := [tuple(part.shape) for part in tensors_of(after)]) != shapes:
            yield f"`{method}` must return a memory of the shapes of `{subject.FIRST}`, {shapes}; it returned {found}"


def types(subject: Subject) -> Iterator[str]:
    hint = "make constants from a tensor that is there (`x.new_zeros`), or register them as buffers"
    for dtype in (torch.float32, torch.float64):
        subject.module.to(dtype)
        given = f"with weights of {word(dtype)}"
        try:
            state = subject.first()
            returned = {subject.FIRST: tensors_of(state)}
            for method, read, one in subject.reads(subject.inputs(STEPS)):
                out, after = read(one, state)
                returned[method] = [out, *tensors_of(after)]
        except Raised as raised:
            yield f"{given}, {raised}; {hint}"
            continue
        for method, tensors in returned.items():
            if wrong := [part for part in tensors if part.is_floating_point() and part.dtype != dtype]:
                yield f"{given}, `{method}` must return {word(dtype)}; it returned {word(wrong[0].dtype)}: {hint}"


def mixed_precision(subject: Subject) -> Iterator[str]:
    x = subject.inputs(STEPS)  # the weights are in float32 here
    for state in (subject.first(), subject.carried()):
        for method, read, one in subject.reads(x):
            exact, _ = read(one, state)
            try:
                with torch.autocast("cpu", torch.bfloat16):
                    rounded, _ = read(one, state)
            except Raised as raised:
                yield f"under autocast in bf16, as training is by default, {raised}"
                continue
            if not largest(rounded, exact) <= 0.05 * max(1.0, largest(exact, None)):
                yield f"`{method}` must be the same under autocast in bf16, but for its rounding; it differs"


def in_place(subject: Subject) -> Iterator[str]:
    state, x = subject.carried(), subject.inputs(STEPS)
    for method, read, one in subject.reads(x):
        given = [one, *tensors_of(state)]
        before = [tensor.clone() for tensor in given]
        with torch.no_grad():
            read(one, state)
        if not all(map(torch.equal, before, given)):
            yield f"`{method}` must not change the tensors it is given; it writes into one in place: make a new one"


def determinism(subject: Subject) -> Iterator[str]:
    x, state = subject.inputs(STEPS), subject.first()
    for method, read, one in subject.reads(x):
        for training in (False, True):
            subject.module.train(training)
            outputs = []
            for _ in range(2):
                for mask in subject.module.modules():
                    if isinstance(mask, WindowMask):
                        mask.forget()
                if training:
                    torch.manual_seed(1)
                outputs.append(read(one, state)[0])
            subject.module.eval()
            if torch.equal(*outputs):
                continue
            when, advice = "in evaluation mode", "draw only if `self.training`, and keep nothing between calls"
            if training:
                when, advice = "under one seed in training mode", "draw with torch, and keep masks in a `WindowMask`"
            yield f"`{method}` must give the same twice {when}: {advice}"
