"""What a part computes: windows equal steps and join, sequences keep apart, and gradients are the right ones."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lm.models.contract.subject import (
    STEPS,
    Read,
    Subject,
    apart,
    gradients_of,
    largest,
    trained,
    weighed,
)
from lm.models.interfaces import State, detach, tensors_of

NUDGE = 1e-5  # of the weights, for finite differences


def windows(subject: Subject) -> Iterator[str]:
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
    leaves = {f"the gradient of `{name}`": weight for name, weight in trained(subject)}
    for place, part in enumerate(tensors_of(start)):
        leaves |= {f"the gradient of the memory's tensor {place}": part} if part.requires_grad else {}
    if x.is_floating_point():
        leaves["the gradient of the input"] = x = x.detach().clone().requires_grad_()
    out, after = read(x, start)
    values = {f"the memory's tensor {place}": part.detach() for place, part in enumerate(tensors_of(after))}
    loss = sum((weighed(part) for part in tensors_of(after) if part.is_floating_point()), weighed(out))
    gradients = gradients_of(loss, list(leaves.values()))
    return {"the outputs": out.detach(), **values, **dict(zip(leaves, gradients, strict=True))}


def joints(subject: Subject) -> Iterator[str]:
    x, state = subject.inputs(2 * STEPS), subject.first()
    whole, last = subject.window(x, state)
    parts = []
    for window in x.split([1, STEPS, STEPS - 1], dim=1):
        part, state = subject.window(window, state)
        parts.append(part)
    if apart(joined := torch.cat(parts, dim=1), whole):
        yield (
            f"`{subject.WINDOW}` must continue from the memory it is given; three windows of a text differ from one by "
            f"up to {largest(joined, whole):.2g}"
        )
    elif any(map(apart, tensors_of(state), tensors_of(last))):
        yield f"`{subject.WINDOW}` must leave the same memory after three windows of a text as after one; it differs"


def batch(subject: Subject) -> Iterator[str]:
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


def detached(subject: Subject) -> Iterator[str]:
    after, sources = subject.traced(subject.inputs(STEPS), subject.carried())
    out, _ = subject.window(subject.inputs(STEPS), detach(after))
    if any(gradient is not None and gradient.any() for gradient in gradients_of(weighed(out), sources)):
        yield (
            f"after a detach of the state, `{subject.WINDOW}` still has gradients in the window before: keep nothing "
            "between calls but the memory that is returned"
        )


def gradients(subject: Subject) -> Iterator[str]:
    windows, start = [subject.inputs(STEPS), subject.inputs(STEPS)], subject.carried()

    def outputs() -> Tensor:
        first, state = subject.window(windows[0], start)
        return torch.cat([first, subject.window(windows[1], state)[0]], dim=1)

    out = outputs()
    names, weights = [name for name, _ in trained(subject)], [weight for _, weight in trained(subject)]
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
