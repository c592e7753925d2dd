"""Writes sentences on results: what follows from the numbers, and what does not.

Only the function `order` says which of two numbers is smaller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lm.studies.comparison.differences import Difference, DistanceDifference
from lm.studies.comparison.group_figures import GroupFigures, Perplexity
from lm.studies.comparison.quality import Quality
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


def apart(a: Perplexity, b: Perplexity) -> str:
    """Say whether the intervals of two perplexities overlap."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return "single runs: chance is not ruled out"
    overlap = a.low <= b.high and b.low <= a.high
    return "their intervals overlap: no difference shown" if overlap else "their intervals do not overlap"


def order(a: str, x: float, b: str, y: float, digits: int = 4) -> str:
    """Say `A (x) is smaller than B (y)`, or that both are equal in the shown digits."""
    if number(x, digits) == number(y, digits):
        return f"{a} and {b} are equal in the digits shown ({number(x, digits)})"
    return f"{a} ({number(x, digits)}) is {'smaller' if x < y else 'larger'} than {b} ({number(y, digits)})"


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
        return f"{better} needs {figures} than {worse}; the text is too short ({text.over} segments) for an interval."
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
    """Say how far training changed a distance, compared with the spread over seeds before training."""
    start = f"{words}: training changed the {kind} distance by {number(by_training, 3)} on average"
    if by_seed is None:
        return f"{start}; with one seed there is no spread to compare it with."
    beside = order("that change", by_training, "the spread (standard deviation) over seeds before training", by_seed, 3)
    return f"{start}; {beside}."


def distances(row: DistanceDifference) -> str:
    """Say how the distance of a word pair differs between two groups of runs."""
    (a, b), (x, y), seeds = row.groups, row.means, row.over_seeds
    start = f"{' - '.join(row.words)}: the {row.kind} distance with {order(a, x, f'that with {b}', y)}."
    if seeds.low is None:
        return f"{start} One of them has a single seed: setting and chance cannot be separated."
    verdict = "no difference is shown" if _covers(seeds) else "a difference larger than that of seeds"
    what = f"the difference, {b} minus {a},"
    if row.changes:
        what += f" in the change by training ({number(row.changes[0], 3)} and {number(row.changes[1], 3)})"
    return f"{start} Interval over seeds of {what}: {interval(seeds.low, seeds.high, 3)}, {verdict}."


def tally(what: str, shown: int, judged: int, single: int) -> str:
    """Say how many comparisons show a difference, and how many cannot because one side has a single seed."""
    rest = f"; {single} more have a single seed on one side" if single else ""
    return f"{what}: a difference larger than that of seeds in {shown} of {judged} comparisons of settings{rest}."


def overfitting(name: str, best: float, best_epoch: int, last: float, epochs: int) -> str:
    """Say how much worse the last epoch is than the best epoch."""
    if best_epoch >= epochs:
        return f"{name}: the last of {epochs} epochs was the best on the validation text ({number(best)})."
    worse = 100 * (last / best - 1)
    return (
        f"{name}: best on the validation text after epoch {best_epoch} of {epochs} ({number(best)}), "
        f"{number(worse, 2)}% worse at the end ({number(last)}): its training loss alone would not have shown this."
    )


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
    """Say whether greedy and random samples end in loops."""
    if greedy.loops:
        how = (
            f"{greedy.loops} of {greedy.sequences} texts end in a loop (medians: its length in words "
            f"{greedy.loop_period:g}, words before it {greedy.loop_begins:g})"
        )
    else:
        how = f"none of its {greedy.sequences} texts ends in a loop"
    variety = order(
        "The share of different word pairs (distinct-2) in greedy text", greedy.distinct_2,
        "that in random samples", random.distinct_2, 3,
    )  # fmt: skip
    return f"{name}, greedy: {how}; random sampling: {random.loops} of {random.sequences}. {variety}."


def judged(name: str, written: float, real: float) -> str:
    """Compare the n-gram model's nats per word of generated text (`written`) with those of real text (`real`)."""
    text = order("nats a word under the n-gram model", written, "for real test text", real, 3)
    if written >= real:
        return f"{name}: {text}. Its phrases are less like the training text's than those of real text are."
    return (
        f"{name}: {text}. Its phrases are more common than those of real text; repetition has this effect too, so it "
        "proves no quality."
    )
