"""Checks anybody's cell or language model against what the framework relies on, and says in words what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lm.models.cells.cell import Cell
from lm.models.contract_subject import BATCH, STEPS, Raised, Read, Subject, apart, gradients_of, largest, made, weighed
from lm.models.dropout import WindowMask
from lm.models.interfaces import LanguageModel, State, detach
from lm.system.errors import UserError

NUDGE = 1e-5  # of the weights, for finite differences


def check(part: Cell | LanguageModel | type[Cell] | Callable[[int], LanguageModel]) -> None:
    """Check that a cell or a language model does what training, evaluation and sampling rely on.

    Shapes and types are checked; that nothing is changed in place; that evaluation draws nothing, and training draws
    from torch's seed; that windows equal single steps and join; that sequences do not mix; that a detached state ends
    back-propagation; that gradients are those of finite differences. Neither `part` nor torch's random state changes.

    Args:
        part: a cell, or its class if that needs no arguments; a model, or a function or class that makes one for a
            number of words. Give a model small sizes, and a context of a few words, so that a text is longer.

    Raises:
        UserError: with a sentence for each failure. Shapes come first, then types and what is changed in place, then
            determinism, then the rest: once one of these fails, the later would only fail for the same reason.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        subject = made(part)
        for stage in STAGES:
            failures = list(dict.fromkeys(sentence for one in stage for sentence in _failures(one, subject)))
            if failures:
                named = part if isinstance(part, Cell) else subject.module
                name = part.__name__ if isinstance(part, type) else type(named).__name__
                raise UserError("\n- ".join([f"{name} does not work as a {subject.KIND}:", *failures]))


def _failures(one: Callable[[Subject], Iterator[str]], subject: Subject) -> Iterator[str]:
    try:
        yield from one(subject)
    except Raised as raised:
        yield str(raised)


def _shapes(subject: Subject) -> Iterator[str]:
    state = subject.first()
    shapes = [tuple(part.shape) for part in _tensors(state)]
    if any(shape[:1] != (BATCH,) for shape in shapes):
        yield (
            f"`{subject.FIRST}({BATCH})` must give tensors whose first dimension is the batch, {BATCH}, so that single "
            f"sequences can begin anew; it gave the shapes {shapes}"
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
        if (found := [tuple(part.shape) for part in _tensors(after)]) != shapes:
            yield f"`{method}` must return a memory of the shapes of `{subject.FIRST}`, {shapes}; it returned {found}"


def _types(subject: Subject) -> Iterator[str]:
    hint = "make constants from a tensor that is there (`x.new_zeros`), or register them as buffers"
    for dtype in (torch.float32, torch.float64):
        subject.module.to(dtype)
        given = f"with weights of {_word(dtype)}"
        try:
            state = subject.first()
            returned = {subject.FIRST: _tensors(state)}
            for method, read, one in subject.reads(subject.inputs(STEPS)):
                out, after = read(one, state)
                returned[method] = [out, *_tensors(after)]
        except Raised as raised:
            yield f"{given}, {raised}; {hint}"
            continue
        for method, tensors in returned.items():
            if wrong := [part for part in tensors if part.is_floating_point() and part.dtype != dtype]:
                yield f"{given}, `{method}` must return {_word(dtype)}; it returned {_word(wrong[0].dtype)}: {hint}"


def _in_place(subject: Subject) -> Iterator[str]:
    state, x = subject.carried(), subject.inputs(STEPS)
    for method, read, one in subject.reads(x):
        given = [one, *_tensors(state)]
        before = [tensor.clone() for tensor in given]
        with torch.no_grad():
            read(one, state)
        if not all(map(torch.equal, before, given)):
            yield f"`{method}` must not change the tensors it is given; it writes into one in place: make a new one"


def _determinism(subject: Subject) -> Iterator[str]:
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


def _windows(subject: Subject) -> Iterator[str]:
    x = subject.inputs(STEPS)
    for origin, state in (("the first memory", subject.first()), ("a carried memory", subject.carried())):
        found = [_all_of(subject, read, x, state) for read in (subject.window, subject.by_steps)]
        if unlike := [name for name, value in found[0].items() if apart(value, found[1][name])]:
            first = unlike[0]
            yield (
                f"`{subject.WINDOW}` must give what `{subject.STEP}` gives step by step; from {origin}, "
                f"{', '.join(unlike)} differ ({first} by up to {largest(found[0][first], found[1][first]):.2g})"
            )


def _all_of(subject: Subject, read: Read, x: Tensor, state: State) -> dict[str, Tensor | None]:
    """The outputs, the memory after them, and the gradients of a sum of both, by name."""
    start = [tuple(part.detach().clone().requires_grad_(part.is_floating_point()) for part in row) for row in state]
    leaves = {f"the gradient of `{name}`": weight for name, weight in _trained(subject)}
    for place, part in enumerate(_tensors(start)):
        leaves |= {f"the gradient of the memory's tensor {place}": part} if part.requires_grad else {}
    if x.is_floating_point():
        leaves["the gradient of the input"] = x = x.detach().clone().requires_grad_()
    out, after = read(x, start)
    values = {f"the memory's tensor {place}": part.detach() for place, part in enumerate(_tensors(after))}
    loss = sum((weighed(part) for part in _tensors(after) if part.is_floating_point()), weighed(out))
    gradients = gradients_of(loss, list(leaves.values()))
    return {"the outputs": out.detach(), **values, **dict(zip(leaves, gradients, strict=True))}


def _joints(subject: Subject) -> Iterator[str]:
    x, state = subject.inputs(2 * STEPS), subject.first()
    whole, last = subject.window(x, state)
    parts = []
    for window in x.split([1, STEPS, STEPS - 1], dim=1):
        part, state = subject.window(window, state)
        parts.append(part)
    if apart(joined := torch.cat(parts, dim=1), whole):
        yield (
            f"`{subject.WINDOW}` must go on from the memory it is given; three windows of a text differ from one by up "
            f"to {largest(joined, whole):.2g}"
        )
    elif any(map(apart, _tensors(state), _tensors(last))):
        yield f"`{subject.WINDOW}` must leave the same memory after three windows of a text as after one; it differs"


def _batch(subject: Subject) -> Iterator[str]:
    x, state = subject.inputs(STEPS), subject.carried()
    other = x.clone()
    other[0] = subject.inputs(STEPS)[1]
    for method, read in ((subject.WINDOW, subject.window), (subject.STEP, subject.by_steps)):
        (one, _), (changed, _) = read(x, state), read(other, state)
        if apart(one[1:], changed[1:]):
            yield (
                f"`{method}` must keep the sequences of a batch apart; another first sequence changes the others by up "
                f"to {largest(one[1:], changed[1:]):.2g}: compute nothing over dimension 0"
            )


def _detached(subject: Subject) -> Iterator[str]:
    after, sources = subject.traced(subject.inputs(STEPS), subject.carried())
    out, _ = subject.window(subject.inputs(STEPS), detach(after))
    if any(gradient is not None and gradient.any() for gradient in gradients_of(weighed(out), sources)):
        yield (
            f"after a detach of the state, `{subject.WINDOW}` still has gradients in the window before: keep nothing "
            "between calls but the memory that is returned"
        )


def _gradients(subject: Subject) -> Iterator[str]:
    windows, start = [subject.inputs(STEPS), subject.inputs(STEPS)], subject.carried()

    def outputs() -> Tensor:
        first, state = subject.window(windows[0], start)
        return torch.cat([first, subject.window(windows[1], state)[0]], dim=1)

    out = outputs()
    names, weights = [name for name, _ in _trained(subject)], [weight for _, weight in _trained(subject)]
    arrived = gradients_of(weighed(out) + weighed(subject.scores(out)), weights)
    for name, gradient in zip(names, arrived, strict=True):
        if gradient is None:
            yield f"`{name}` must receive a gradient; it has none: use it in the output, or remove it"
        elif not gradient.isfinite().all():
            yield f"`{name}` must receive a finite gradient; some of its values are infinite or not a number"
    # Of the outputs alone, because a head may compute in float32. A random direction tries a whole weight at once.
    exact = gradients_of(weighed(outputs()), weights)
    with torch.no_grad():
        for name, weight, gradient in zip(names, weights, exact, strict=True):
            direction, kept = torch.randn_like(weight), weight.clone()
            direction /= direction.norm()
            ends = []
            for sign in (1, -1):
                weight.copy_(kept + sign * NUDGE * direction)
                ends.append(weighed(outputs()).item())
            weight.copy_(kept)
            found = 0.0 if gradient is None else (gradient * direction).sum().item()
            wanted = (ends[0] - ends[1]) / (2 * NUDGE)
            if not abs(found - wanted) <= 1e-4 * abs(wanted) + 1e-7 * (1 + abs(ends[0])):
                yield (
                    f"the gradient of `{name}` over two joined windows must be {wanted:.4g} along a random direction, "
                    f"by finite differences; it is {found:.4g}: a part is detached, or has a wrong backward pass"
                )


STAGES = ((_shapes,), (_types, _in_place), (_determinism,), (_windows, _joints, _batch, _detached, _gradients))


def _tensors(state: State) -> list[Tensor]:
    return [part for row in state for part in row]


def _trained(subject: Subject) -> list[tuple[str, Tensor]]:
    return [(name, weight) for name, weight in subject.module.named_parameters() if weight.requires_grad]


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
