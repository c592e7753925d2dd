"""Runs the classic exercise's loop without the detach and records torch's errors."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from lm.studies.benchmark.plain import PlainModel

WINDOWS = 3


class Attempt(NamedTuple):
    """A loop without detach: what was changed, the window (from 1) whose backward pass failed, the error's text."""

    changed: str
    failed_at: int | None
    message: str | None


def attempts() -> list[Attempt]:
    """Run the loop without detach in three ways: plainly, with `retain_graph=True`, and then also without updates."""
    return [
        _attempt("with its detach deleted, and nothing else changed", retain_graph=False, update=True),
        _attempt(
            "with its detach deleted and backward(retain_graph=True), as that error proposes",
            retain_graph=True,
            update=True,
        ),
        _attempt("with both, and without optimizer.step(), so that no weight changes", retain_graph=True, update=False),
    ]


def _attempt(changed: str, retain_graph: bool, update: bool) -> Attempt:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PlainModel(vocab_size=7, embedding_size=2, hidden_size=3, num_layers=1)
        words = torch.randint(7, (1, 2 * WINDOWS + 1))  # B, N
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    states = model.start(1)
    for window in range(WINDOWS):
        piece = words[:, 2 * window : 2 * window + 3]
        outputs, states = model(piece[:, :-1], states)
        loss = F.cross_entropy(outputs, piece[:, 1:].reshape(-1))
        optimizer.zero_grad()
        try:
            loss.backward(retain_graph=retain_graph)
        except RuntimeError as error:
            return Attempt(changed, window + 1, str(error))
        if update:
            optimizer.step()
    return Attempt(changed, None, None)
