"""Writes sentences on generated text and on the distances of words; see `lm.studies.comparison.sentences`."""

from __future__ import annotations

from collections.abc import Sequence

from lm.studies.comparison.differences import DistanceDifference
from lm.studies.comparison.quality import Quality
from lm.studies.comparison.related import CloserThanUnrelated
from lm.studies.comparison.sentences import interval, number, with_interval
from lm.studies.comparison.statistics import Interval
from lm.studies.comparison.vectors import Spread


def side(value: float, before: Spread) -> str:
    """Say whether a distance is below, within or above the middle 95% of frequent pairs before training."""
    return "below" if value < before.low else "above" if value > before.high else "within"


def places(words: str, kind: str, rows: Sequence[tuple[str, float, Spread]]) -> str:
    """Say in which runs a word pair's distance is outside the range before training.

    `rows` holds (run, distance, range before training).
    """
    sides = [(name, value, side(value, before)) for name, value, before in rows]
    inside = [name for name, _, where in sides if where == "within"]
    outside = [
        f"{name} ({number(value)}, {side(value, before)} {interval(before.low, before.high)})"
        for name, value, before in rows
        if side(value, before) != "within"
    ]
    start = f"{words}, {kind} distance, against the range of 95% of frequent pairs before training, each run's own: "
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
        start += (
            f"{with_interval(row.initial)} before training and {with_interval(row.trained)} after it. The change is "
        )
    if not row.verdict.excludes(0):
        said = "no difference is shown"
    else:
        where = "closer together" if row.verdict.mean > 0 else "further apart"
        who = f"training brought related words {where}" if row.change else f"related words are {where}"
        said = f"{who} than unrelated ones, by more than chance over pairs"
    return f"{start}{with_interval(row.verdict)}: {said}."
