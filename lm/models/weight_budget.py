"""Chooses a hidden size by the number of weights, so that different models can be compared at an equal number."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import torch

from lm.system.errors import UserError

P = ParamSpec("P")


def within_weights(multiple: Callable[[Mapping[str, Any]], int] = lambda _: 1) -> Any:
    """Decorator of a language model's `__init__`: for `hidden_size=None` it finds the largest within `weights`.

    `multiple` gives, from the other settings, the number of which the hidden size must be a multiple. Raises UserError
    for both a size and a number of weights, for neither, and for fewer weights than the smallest model has.
    """

    def decorate(init: Callable[P, None]) -> Callable[P, None]:
        signature = inspect.signature(init)

        @functools.wraps(init)
        def call(*arguments: P.args, **named: P.kwargs) -> None:
            given = signature.bind(*arguments, **named)
            given.apply_defaults()
            settings = dict(given.arguments)
            model, hidden, weights = settings.pop("self"), settings.pop("hidden_size"), settings.pop("weights")
            make: Any = init
            if (hidden is None) == (weights is None):
                raise UserError(
                    "set one of model.hidden_size and model.weights, and the other to null; got "
                    f"{'both' if weights is not None else 'neither'}"
                )
            if hidden is None:

                def count(size: int) -> int:
                    trial: Any = object.__new__(type(model))
                    with torch.device("meta"):  # its weights are counted, not made
                        make(trial, **settings, hidden_size=size)
                    return int(trial.parameter_count)

                hidden = largest(weights, count, multiple(settings), settings["embedding_size"])
            make(model, **settings, hidden_size=hidden)

        return call

    return decorate


def largest(weights: int, count: Callable[[int], int], multiple: int, embedding_size: int) -> int:
    """The largest multiple of `multiple` for which `count` gives at most `weights` weights.

    The number of weights must grow with the size, but may be smaller where the size is `embedding_size`.
    """
    try:
        least = count(multiple)
    except UserError as error:
        raise UserError(f"model.weights cannot choose model.hidden_size with these settings: {error}") from None
    if least > weights:
        raise UserError(
            f"model.weights={weights:,} is fewer than the smallest such model has, {least:,}: raise it, or lower "
            "model.embedding_size"
        )
    low, high = 1, 2  # in multiples; `low` fits
    while (more := count(high * multiple)) <= weights:
        if more == count(low * multiple):
            raise UserError("model.weights: model.hidden_size does not change the number of weights; set it by hand")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle * multiple) <= weights else (low, middle)
    # A Transformer whose sizes are equal has no matrices between them.
    equal = embedding_size > low * multiple and embedding_size % multiple == 0 and count(embedding_size) <= weights
    return embedding_size if equal else low * multiple
