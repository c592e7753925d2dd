"""Checks anybody's cell or language model against what the framework relies on, and says in words what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from lm.models.cells.cell import Cell
from lm.models.contract.equalities import batch, detached, gradients, joints, windows
from lm.models.contract.form import determinism, in_place, mixed_precision, shapes, types
from lm.models.contract.subject import Raised, Subject, made
from lm.models.interfaces import LanguageModel
from lm.system.errors import UserError

STAGES = (
    (shapes,),
    (in_place,),
    (determinism,),
    (mixed_precision,),
    (types,),
    (windows, joints, batch, detached, gradients),
)


def check(part: Cell | LanguageModel | type[Cell] | Callable[[int], LanguageModel]) -> None:
    """Check that a cell or a language model does what training, evaluation and sampling rely on.

    Shapes and types are checked, also in bf16; that nothing is changed in place; that evaluation draws nothing, and
    training draws from torch's seed; that windows equal single steps and join; that sequences do not mix; that a
    detached state ends back-propagation; that gradients are those of finite differences. Neither `part` nor torch's
    random state changes.

    Args:
        part: a cell, or its class if that needs no arguments; a model, or a function or class that makes one for a
            number of words. Give a model small sizes, and a context of a few words, so that a text is longer.

    Raises:
        UserError: with a sentence for each failure. Shapes come first, then changes in place, determinism, bf16,
            types, and the rest: once one of these fails, the later would only fail for the same reason.
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
