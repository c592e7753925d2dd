"""Bounds of settings, written in type annotations. They are checked whenever an object is made, also in a notebook.

Write `rounds: Annotated[int, AtLeast(1)]` in a `Bounded` dataclass or among the arguments of a `bounded` function.
"""

from __future__ import annotations

import functools
import inspect
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, ClassVar, Literal, ParamSpec, TypeVar

from lm.system.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Range:
    """A bound: finite numbers from `least` to `most` (both allowed), or between `above` and `below` (both excluded)."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"between {self.least} and {self.most}"
        ends = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{words} {end}" for words, end in ends.items() if end is not None)


def AtLeast(least: float) -> Range:
    return Range(least=least)


def Above(above: float) -> Range:
    return Range(above=above)


Count = Annotated[int, AtLeast(1)]
"""The type of a setting that counts something: an integer of at least one."""

PROBABILITY = Range(least=0, most=1)
INSIDE = Range(above=0, below=1)
"""The bound of a fraction strictly between 0 and 1."""
DROPOUT = Range(least=0, below=1)
"""The bound of a dropout rate: from 0 (included) to 1 (excluded)."""


class Bounded:
    """Base class of dataclasses whose fields are checked when an object is made.

    `group` is the configuration group of the fields, for error messages. Raises UserError for a field outside the
    bounds in its annotation.
    """

    group: ClassVar[str] = ""

    def __init_subclass__(cls, group: str | None = None, **others: Any) -> None:
        super().__init_subclass__(**others)
        if group is not None:
            cls.group = group

    def __post_init__(self) -> None:
        check_bounds(self.group, annotations_of(type(self)), vars(self))


def bounded(group: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a function or an `__init__`: at each call, check the arguments, which are settings of `group`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> R:
            given = signature.bind(*arguments, **named)
            given.apply_defaults()
            check_bounds(group, annotations_of(function), given.arguments)
            return function(*arguments, **named)

        return call

    return decorate


def annotations_of(target: Any) -> dict[str, Any]:
    """The annotations of a function's arguments or of a class's settings; {} if Python cannot resolve them."""
    return _annotations_of(target)


@functools.cache
def _annotations_of(target: Any) -> dict[str, Any]:
    # A dataclass may inherit fields from another module, whose names its own __init__ cannot resolve.
    by_init = inspect.isclass(target) and not is_dataclass(target)
    try:
        return typing.get_type_hints(target.__init__ if by_init else target, include_extras=True)
    except (NameError, TypeError):
        return {}


def check_bounds(group: str, hints: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raise UserError for the first value that is outside its bound. `hints` has the annotation of each value."""
    for name, value in values.items():
        bound, others = find_bound(hints.get(name))
        if bound is None:
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if not isinstance(one, (int, float)) or isinstance(one, bool) or bound.holds(one):
                continue
            path = f"{group}.{name}" if group else name
            wanted = (
                "a finite number" if not math.isfinite(one) else f"each {bound}" if one is not value else str(bound)
            )
            raise UserError(f"{path} must be {', or '.join([wanted, *others])}; got {one}")


def find_bound(hint: Any) -> tuple[Range | None, list[str]]:
    """Find the bound in an annotation, also inside a union or a sequence.

    Also returns descriptions of the values that are allowed besides numbers within the bound, such as null.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        own = next((extra for extra in hint.__metadata__ if isinstance(extra, Range)), None)
        return (own, []) if own is not None else find_bound(arguments[0])
    if origin is Literal:
        return None, [str(argument) for argument in arguments]
    if hint is type(None):
        return None, ["null"]
    found: Range | None = None
    others: list[str] = []
    for argument in arguments:
        bound, more = find_bound(argument)
        found, others = found or bound, [*others, *more]
    return found, others
