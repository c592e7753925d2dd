"""Writes sentences on results: what follows from the numbers, and what does not.

A sentence says which of two settings or texts has more only if the interval of the difference excludes 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lm.studies.comparison.differences import Difference, DistanceDifference
from lm.studies.comparison.group_figures import GroupFigures, Perplexity
from lm.studies.comparison.quality import Quality
from lm.studies.comparison.related import CloserThanUnrelated
from lm.studies.comparison.statistics import Interval
from lm.studies.comparison.vectors import Spread


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
        return "single runs: no difference shown"
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
        f"{number(size, 3)} nats a token fewer (perplexity lower by {number(100 * (1 - math.exp(-size)), 3)}%)"
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


def _covers(part: Interval) -> bool:
    return part.low is not None and not part.excludes(0)


def side(value: float, before: Spread) -> str:
    """Say whether a distance is below, within or above the middle 95% of frequent pairs before training."""
    return "below" if value < before.low else "above" if value > before.high else "within"


def places(words: str, kind: str, rows: Sequence[tuple[str, float, Spread]]) -> str:
    """Say in which runs a word pair's distance is outside the range before training.

    `rows` holds (run, distance, range before training).
    """
    sides = [(name, value, side(value, before)) for name, value, before in rows]
    inside = [name for name, _, where in sides if where == "within"]
    outside = [f"{name} ({number(value)}, {where})" for name, value, where in sides if where != "within"]
    name, _, before = rows[0]
    span = f"{interval(before.low, before.high)} in {name}"
    start = f"{words}, {kind} distance, against the range of 95% of frequent pairs before training ({span}): "
    if not outside:
        return f"{start}within it in {_all(len(rows))}, which by itself is no sign of anything learned."
    rest = f"; within it in the other {len(inside)}" if inside else ""
    return f"{start}outside it in {', '.join(outside)}{rest}."


def _all(count: int) -> str:
    return "the one run" if count == 1 else f"all {count} runs"


def change(words: str, kind: str, by_training: float, by_seed: float | None) -> str:
    """Say how far training changed a distance, and what the spread over seeds before training is."""
    start = f"{words}: training changed the {kind} distance by {number(by_training, 3)} on average"
    if by_seed is None:
        return f"{start}; with one seed there is no spread to compare it with."
    return f"{start}; before training, its standard deviation over seeds is {number(by_seed, 3)}."


def distances(row: DistanceDifference) -> str:
    """Say how the distance of a word pair differs between two groups of runs."""
    (a, b), (x, y), seeds = row.groups, row.means, row.over_seeds
    start = f"{' - '.join(row.words)}: the {row.kind} distance is {number(x)} with {a} and {number(y)} with {b}."
    if seeds.low is None:
        return f"{start} No difference is shown: one of them has a single seed."
    verdict = "a difference larger than that of seeds" if seeds.excludes(0) else "no difference is shown"
    what = f"the difference, {b} minus {a},"
    if row.changes:
        what += f" in the change by training ({number(row.changes[0], 3)} and {number(row.changes[1], 3)})"
    return f"{start} Interval over seeds of {what}: {interval(seeds.low, seeds.high, 3)}, {verdict}."


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


def loops(name: str, greedy: Quality, random: Quality) -> str:
    """Say how many greedy and random samples end in loops, and how varied they are."""
    if greedy.loops:
        how = (
            f"{greedy.loops} of {greedy.sequences} texts end in a loop (medians: its length in words "
            f"{greedy.loop_period:g}, words before it {greedy.loop_begins:g})"
        )
    else:
        how = f"none of its {greedy.sequences} texts ends in a loop"
    variety = f"greedy {number(greedy.distinct_2, 3)}, random {number(random.distinct_2, 3)}"
    return (
        f"{name}, greedy: {how}; random sampling: {random.loops} of {random.sequences}. Share of different word pairs "
        f"(distinct-2): {variety}."
    )


def judged(name: str, written: float, real: float, difference: Interval) -> str:
    """Compare the n-gram model's nats per word of generated text with those of real text, by the `difference`."""
    return _judged(
        f"{name}: {number(written, 3)} nats a word under the n-gram model, real test text {number(real, 3)}",
        difference,
        "Its phrases are less like the training text's than those of real text are.",
        "Its phrases are more common in the training text than those of real text; repetition has this effect too, so "
        "it proves no quality.",
    )


def surprising(name: str, written: float, real: float, difference: Interval) -> str:
    """Compare the surprisal of a model's text under the model itself with that of real text, by the `difference`."""
    return _judged(
        f"{name}: {number(written, 3)} nats a word under the model itself, real test text {number(real, 3)}",
        difference,
        "The model finds its own text more surprising than real text.",
        "The model finds its own text less surprising than real text.",
    )


def _judged(text: str, difference: Interval, above: str, below: str) -> str:
    if difference.low is None:
        return f"{text}. No difference shown: too few texts for an interval."
    span = f"the interval of the difference over texts, {interval(difference.low, difference.high, 3)},"
    if not difference.excludes(0):
        return f"{text}. No difference shown: {span} contains 0."
    return f"{text}; {span} excludes 0. {above if difference.mean > 0 else below}"


def relatedness(row: CloserThanUnrelated) -> str:
    """Say how much closer together related words are than unrelated ones, before and after training."""
    start = f"{row.group}, {row.kind} distance, mean of {row.pairs} unrelated pairs minus that of {row.pairs} related: "
    if row.initial and row.change:
        start += f"{_spanned(row.initial)} before training and {_spanned(row.trained)} after it. The change is "
    if not row.verdict.excludes(0):
        said = "no difference is shown"
    elif row.verdict.mean > 0:
        said = "related words are closer together, by more than chance over pairs"
    else:
        said = "related words are further apart, by more than chance over pairs"
    return f"{start}{_spanned(row.verdict)}: {said}."


def _spanned(part: Interval) -> str:
    return f"{number(part.mean, 3)} {interval(part.low, part.high, 3)}"
