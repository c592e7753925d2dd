"""Bounds in annotations: a command line, a class and a function report them alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm.config.build import build, check
from lm.models import RecurrentLanguageModel
from lm.sampling import Sampler
from lm.system.bounds import DROPOUT, INSIDE, PROBABILITY, Above, AtLeast, Bounded, Count, Range, bounded
from lm.system.errors import UserError
from lm.training.optim import SGD, Adam


@dataclass(frozen=True)
class Part(Bounded, group="some.part"):
    count: Count = 1
    share: Annotated[float, PROBABILITY] | Literal["auto"] = 0.5
    limit: Count | None = None
    pair: Annotated[tuple[float, float], DROPOUT] = (0.0, 0.5)


@dataclass(frozen=True)
class Larger(Part):
    rate: Annotated[float, Above(0)] = 1.0


@bounded("of.a")
def function(number: Count, *, share: Annotated[float, INSIDE] = 0.5) -> float:
    """What it says."""
    return number * share


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Part(count=0), "some.part.count must be at least 1; got 0"),
        (lambda: Part(share=1.5), "some.part.share must be between 0 and 1, or auto; got 1.5"),
        (lambda: Part(limit=0), "some.part.limit must be at least 1, or null; got 0"),
        (lambda: Part(pair=(0.1, 1.0)), "some.part.pair must be each at least 0 and below 1; got 1.0"),
        (lambda: Part(share=math.nan), "some.part.share must be a finite number, or auto; got nan"),
        (lambda: Larger(count=0), "some.part.count must be at least 1; got 0"),
        (lambda: Larger(rate=0.0), "some.part.rate must be above 0; got 0.0"),
        (lambda: replace(Part(), count=-1), "some.part.count must be at least 1; got -1"),
        (lambda: function(0), "of.a.number must be at least 1; got 0"),
        (lambda: function(1, share=1.0), "of.a.share must be above 0 and below 1; got 1.0"),
        (lambda: Sampler(top_p=0.0), "sampler.top_p must be above 0 and at most 1; got 0.0"),
        (lambda: Adam(lr=math.inf), "optim.lr must be a finite number; got inf"),
        (lambda: SGD(lr=1.0, momentum=-1.0), "optim.momentum must be at least 0; got -1.0"),
        (lambda: RecurrentLanguageModel(9, hidden_size=0), "model.hidden_size must be at least 1, or null; got 0"),
    ],
)
def test_a_value_out_of_bounds_is_told(make: object, said: str) -> None:
    with pytest.raises(UserError) as told:
        make()  # type: ignore[operator]
    assert str(told.value) == said


def test_what_is_within_bounds_is_taken() -> None:
    assert Part(share="auto", limit=None).limit is None
    assert function(2) == 1.0
    assert function.__doc__ == "What it says."


def test_a_configuration_is_checked_before_anything_is_built() -> None:
    node = {
        "_target_": "lm.training.optim.Adam",
        "lr": 0.1,
        "average": {"_target_": "lm.training.optim.Tail", "after": -1},
    }
    for way in (check, build):
        with pytest.raises(UserError, match=r"optim\.average\.after must be at least 0; got -1"):
            way(node, "optim")


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(-5, 5), st.floats(0, 5))
def test_a_range_holds_what_lies_between_its_ends(value: float, low: float, width: float) -> None:
    high = low + width
    finite = math.isfinite(value)
    assert Range(least=low, most=high).holds(value) == (finite and low <= value <= high)
    assert Range(above=low, below=high).holds(value) == (finite and low < value < high)
    assert AtLeast(low).holds(value) == (finite and value >= low)
