"""Writes sentences on results: what follows from the numbers, and what does not.

A sentence says which of two settings or texts has more only if the interval of the difference excludes 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lm.studies.comparison.differences import Difference
from lm.studies.comparison.group_figures import GroupFigures, Perplexity
from lm.studies.comparison.statistics import Interval


def number(value: float | None, digits: int = 4) -> str:
    """Format a number with `digits` significant digits and thousands separators; a dash for None, inf and nan."""
    if value is None or not math.isfinite(value):
        return "-"
    if abs(value) < 1e-4:
        return f"{value:.1e}" if value else "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    return f"[{number(low, digits)}, {number(high, digits)}]"


def with_interval(part: Interval | None) -> str:
    """A mean with its interval, if there is one."""
    if part is None or part.low is None:
        return number(part.mean if part else None, 3)
    return f"{number(part.mean, 3)} {interval(part.low, part.high, 3)}"


def estimate(figure: Perplexity | None, digits: int = 4) -> str:
    """Format a mean perplexity, with its interval if there is one."""
    if not figure:
        return "-"
    text = number(figure.mean, digits)
    return text if figure.low is None else f"{text} {interval(figure.low, figure.high, digits)}"


def unknown(counts: Sequence[int] | None, tokens: Sequence[int]) -> str:
    """Format how many of the tokens are unknown, as `43 of 1,024 (4.2%)`; a dash if they were not counted.

    Several numbers are those of different runs.
    """
    some, all_ = (" / ".join(f"{n:,}" for n in numbers or ()) or "-" for numbers in (counts, tokens))
    share = f" ({counts[0] / tokens[0]:.1%})" if counts and len(counts) == len(tokens) == 1 else ""
    return f"{some} of {all_}{share}"


def incomparable(reason: str) -> str:
    return f"Which perplexity is lower means nothing unless text and vocabulary are the same: {reason}."


def is_below(a: Perplexity, b: Perplexity) -> bool:
    """Whether the whole interval of `a` is below that of `b`; false if one of them has no interval."""
    return a.high is not None and b.low is not None and a.high < b.low


def apart(a: Perplexity, b: Perplexity) -> str:
    """Say whether the intervals of two perplexities overlap."""
    if a.low is None or b.low is None:
        return "one run each: not tested"
    separate = is_below(a, b) or is_below(b, a)
    return "their intervals do not overlap" if separate else "their intervals overlap: no difference shown"


def difference(row: Difference) -> str:
    """Say how two groups differ in nats per token on their shared test text."""
    (a, b), text, seeds = row.groups, row.over_text, row.over_seeds
    size = abs(row.nats)
    if row.nats == 0:
        return f"{a} and {b}: no difference shown. They need the same nats for the test text."
    better, worse = (a, b) if row.nats > 0 else (b, a)
    figures = (
        f"{number(size, 3)} nats a token fewer (perplexity lower by {percent(size)})"
        f" over {row.tokens:,} tokens of the test text"
    )
    if text.low is None:
        return (
            f"{a} and {b}: no difference shown. {better} needs {figures}, but the text is too short ({text.over} "
            "segments) for an interval."
        )
    over_text = interval(text.low, text.high, 3)
    over_seeds = "" if seeds.low is None else f", over seeds {interval(seeds.low, seeds.high, 3)}"
    intervals = f"intervals of the difference over segments of the text {over_text}{over_seeds}"
    if row.shown:
        limit = (
            " At least one of them is a single run: this holds for these trained models, not yet for their settings."
            if seeds.low is None
            else ""
        )
        return f"{better} predicts better than {worse}: {figures}; {intervals} exclude 0.{limit}"
    which = [name for name, part in (("text", text), ("seeds", seeds)) if _covers(part)]
    return (
        f"{a} and {b}: no difference shown. {better} needs {figures}, but the interval over {' and over '.join(which)} "
        f"contains 0 ({intervals})."
    )


def percent(nats: float) -> str:
    """By how many percent the lower of two perplexities is lower; `nats` a token are between them."""
    return f"{number(100 * (1 - math.exp(-abs(nats))), 3)}%"


def in_nats(row: Difference) -> str:
    """The size of a difference, with its intervals turned so that the better group is above 0."""
    sign = -1 if row.nats < 0 else 1
    spans = []
    for what, part in (("the text", row.over_text), ("seeds", row.over_seeds)):
        if part.low is not None and part.high is not None:
            low, high = sorted((sign * part.low, sign * part.high))
            spans.append(f"over {what} {interval(low, high, 3)}")
    intervals = f" (interval {', '.join(spans)})" if spans else ""
    return f"{number(abs(row.nats), 3)} nats a token{intervals}"


def _covers(part: Interval) -> bool:
    return part.low is not None and not part.excludes(0)


def tally(what: str, shown: int, judged: int, single: int) -> str:
    """Say how many comparisons show a difference, and how many cannot because one side has a single seed."""
    rest = f"; {single} more have a single seed on one side" if single else ""
    return f"{what}: a difference larger than that of seeds in {shown} of {judged} comparisons of settings{rest}."


def epochs(name: str, best: float, best_epoch: int, last: float, count: int) -> str:
    """Say after which of `count` epochs validation perplexity was lowest, and what it was after the last one."""
    end = "" if best_epoch >= count else f", and {number(last)} after the last"
    return f"{name}: the lowest validation perplexity was {number(best)}, after epoch {best_epoch} of {count}{end}."


def reached(level: float, groups: Sequence[GroupFigures]) -> str:
    """Say when each group reached the validation perplexity `level`."""
    parts = []
    for group in groups:
        row = next(row for row in group.convergence if row.perplexity == level)
        if not row.reached:
            parts.append(f"{group.name} never")
            continue
        seconds = f" and {number(row.seconds, 3)} s of training" if row.seconds is not None else ""
        some = f" ({row.reached} of {row.of} runs)" if row.reached < row.of else ""
        parts.append(f"{group.name} after {number(row.tokens, 3)} tokens{seconds}{some}")
    return f"Validation perplexity {number(level, 3)} was reached by " + "; ".join(parts) + "."
