"""Writes sentences that follow from the measurements; the numbers decide every comparison in the sentences."""

from __future__ import annotations

from lm.studies.truncation.figures import Figures, Point
from lm.studies.truncation.reach import Reach

EPOCH = 1549
"""Number of windows in an epoch of the classic exercise."""

SHARE = 0.01
"""Gradients count as vanished if their mean norm, k steps back, is at most this share of the norm at k = 0."""


def sentences(found: Figures) -> list[str]:
    """The findings of the study: one or two sentences for each measurement."""
    said = [_errors(found), _memory(found), _streams(found)]
    if found.by_length:
        said.append(_same_reach(found))
    said += [_time(found), _graphs(found)]
    for name, model in found.models.items():
        said += [_reach(name, model.reach, found.window), _equality(name, found)]
    if {"untrained", "trained"} <= found.models.keys():
        said.append(_training_changes(found.models["untrained"].reach, found.models["trained"].reach))
    return [sentence for sentence in said if sentence]


def not_shown(found: Figures) -> list[str]:
    """Claims of the classic exercise about detach for which it has no evidence, and what this study finds."""
    first, last = found.by_windows[0], found.by_windows[-1]
    failed = found.attempts[0].failed_at
    ran = f"it fails at window {failed}" if failed else "it runs with this version of torch"
    name, model = list(found.models.items())[-1]  # the trained one where there is one
    norm = model.reach.share_at(found.window)
    exact = max(model.gradients.largest_difference for model in found.models.values())
    inside = "changes nothing within a window" if exact < 1e-9 else f"changes gradients by up to {exact:.1e}"
    return [
        f"The classic exercise calls training without detach larger and slower, but did not run it: {ran}. The "
        "alternative that runs is one update for several windows.",
        f"The classic exercise says that detach needs less memory, without a figure. Here: {megabytes(first.bytes)} "
        f"with tbptt.windows={first.windows}, {megabytes(last.bytes)} with {last.windows}; it grows with the tokens "
        "between two updates.",
        f"The classic exercise says that truncation takes less time. Here a window took "
        f"{milliseconds(first.per_window)} with tbptt.windows={first.windows} and {milliseconds(last.per_window)} with "
        f"{last.windows}: {_pace(first, last)}.",
        f"The classic exercise says that truncation helps against vanishing gradients. In the {name} model the norm "
        f"falls to {percent(norm)} already within one window of {found.window}, and detach {inside}: it drops what "
        "is beyond the window.",
        "Neither the classic exercise nor this report shows the effect of the shorter reach on perplexity. To measure "
        "it: python train.py -m tbptt.windows=1,4 seed=0,1,2.",
    ]


def versus(value: float, other: float) -> str:
    """Compare `value` with `other` in words, such as '13 times', 'only 40% of' or 'about the same as'."""
    ratio = value / other
    if abs(ratio - 1) < 0.03:
        return "about the same as"
    return f"{figure(ratio)} times" if ratio > 1 else f"only {figure(100 * ratio)}% of"


def figure(value: float) -> str:
    """Format a number with three significant digits, or with all digits before the decimal point if there are more."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def megabytes(count: float) -> str:
    return f"{figure(count / 1e9)} GB" if abs(count) >= 1e9 else f"{figure(count / 1e6)} MB"


def milliseconds(seconds: float) -> str:
    return f"{figure(1000 * seconds)} ms"


def percent(share: float) -> str:
    """Format a share in per cent; in scientific notation if the share is below 1e-4."""
    return f"{figure(100 * share)}%" if share >= 1e-4 or share == 0 else f"{share:.1e}"


def difference(value: float) -> str:
    """Format a relative difference; `none` if the difference is zero."""
    return f"{value:.1e}" if value else "none, bit for bit"


def _errors(found: Figures) -> str:
    plain, *others = found.attempts
    if plain.failed_at is None:
        return "Deleting only the detach runs without an error with this version of torch."
    also = [attempt for attempt in others if attempt.failed_at is not None]
    more = f" Keeping the graph, as that error proposes, fails too ({_gist(also[0].message)})." if also else ""
    return (
        f"Without the detach the loop does not train: the backward pass of window {plain.failed_at} fails "
        f"({_gist(plain.message)}).{more}"
    )


def _gist(message: str | None) -> str:
    """The beginning of an error's text, without its explanations."""
    return (message or "").partition(" (")[0].partition(":")[0]


def _memory(found: Figures) -> str:
    first, last = found.by_windows[0], found.by_windows[-1]
    slope = found.bytes_per_window
    said = (
        f"With tbptt.windows={last.windows} peak memory is {megabytes(last.bytes)} above the idle model's, "
        f"{versus(last.bytes, first.bytes)} the {megabytes(first.bytes)} with tbptt.windows={first.windows}. "
    )
    if slope <= 0:
        return f"{said}It does not grow with the number of windows ({megabytes(slope)} a window)."
    return (
        f"{said}Each further window between two updates adds {megabytes(slope)}; at this rate the {EPOCH:,} windows of "
        f"an epoch of the classic exercise without detach would take {megabytes(slope * EPOCH)} at these sizes."
    )


def _streams(found: Figures) -> str:
    short, long = found.streams[0], found.streams[-1]
    change, slope = long.bytes - short.bytes, found.bytes_per_window
    what = "does not grow with the stream's length" if abs(change) < 0.25 * slope else "depends on the stream's length"
    figures = ", ".join(f"{megabytes(stream.bytes)} for {stream.windows:,}" for stream in found.streams)
    direction = "more" if change >= 0 else "less"
    return (
        f"With a detach before every window memory {what}: {figures} windows, {megabytes(abs(change))} {direction} "
        "from the first to the last."
    )


def _same_reach(found: Figures) -> str:
    pairs = [(a, b) for a in found.by_windows for b in found.by_length if a.windows > 1 and a.tokens == b.tokens]
    if not pairs:
        return ""
    several, one = max(pairs, key=lambda pair: pair[0].tokens)
    close = abs(several.bytes / one.bytes - 1) < 0.1
    lead = (
        "Memory depends on the tokens between two updates"
        if close
        else "Memory depends on how tokens are cut into windows"
    )
    larger = not close and one.bytes > several.bytes
    why = ", whose logits and their gradient are held for all of its tokens at once" if larger else ""
    return (
        f"{lead}: {several.windows} windows of {several.length} take {megabytes(several.bytes)}, "
        f"{versus(several.bytes, one.bytes)} the {megabytes(one.bytes)} of one window of {one.length}{why}."
    )


def _time(found: Figures) -> str:
    first, last = found.by_windows[0], found.by_windows[-1]
    return (
        f"A window takes {milliseconds(first.per_window)} with tbptt.windows={first.windows} and "
        f"{milliseconds(last.per_window)} with tbptt.windows={last.windows}: {_pace(first, last)}."
    )


def _pace(first: Point, last: Point) -> str:
    """Compare the speed of two ways of training: faster or slower only if the ranges over processes do not overlap."""
    if first.low / first.windows <= last.high / last.windows and last.low / last.windows <= first.high / first.windows:
        return "no difference beyond the variation between processes"
    share = last.per_window / first.per_window
    once = ", from one process each: how much they vary is not known" if first.low == first.high else ""
    return f"{figure(100 * abs(1 - share))}% {'slower' if share > 1 else 'faster'}{once}"


def _graphs(found: Figures) -> str:
    parts = []
    for name, graph in found.graphs.items():
        windows = "window" if len(graph.reached) == 1 else "windows"
        reached = ", ".join(map(str, graph.reached))
        crossing = f"{graph.crossing} edges between windows"
        parts.append(f"{name} the gradient of window 3's loss reaches {windows} {reached} ({crossing})")
    return "In the recorded graph, " + "; ".join(parts) + "."


def _reach(name: str, reach: Reach, window: int) -> str:
    gone = reach.steps_to(SHARE)
    where = f"for all k >= {gone}" if gone is not None else f"for none of the {len(reach.mean) - 1} steps followed"
    back = min(window, len(reach.mean) - 1)
    return (
        f"In the {name} model the norm of d loss(t) / d state(t - k) is {percent(reach.share_at(back))} of its value "
        f"at k = 0 when k = {back}, and at most {percent(SHARE)} {where}. A detach before every {window} tokens cuts "
        f"off {percent(reach.share_cut(window))} of the summed norms."
    )


def _equality(name: str, found: Figures) -> str:
    gradients = found.models[name].gradients
    what = "equals" if gradients.largest_difference < 1e-9 else "DIFFERS FROM"
    return (
        f"There the gradient with detach {what} the explicitly truncated one: largest relative difference "
        f"{difference(gradients.largest_difference)}. Of the full gradient of the third window's loss it "
        f"drops a part with {percent(gradients.dropped)} of its norm (cosine {gradients.cosine:.4f})."
    )


def _training_changes(before: Reach, after: Reach) -> str:
    beyond = len(before.mean)
    steps = [reach.steps_to(SHARE) for reach in (before, after)]
    a, b = (beyond if step is None else step for step in steps)
    words = [f"{step}" if step is not None else f"more than {beyond - 1}" for step in steps]
    verdict = "further" if b > a else "less far" if b < a else "as far"
    return (
        f"In the trained model gradients reach {verdict}{' as' if a == b else ' than'} in the untrained one: "
        f"{words[1]} steps to {percent(SHARE)}, against {words[0]}."
    )
