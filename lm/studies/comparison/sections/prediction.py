"""The sections on perplexity, on convergence, and on whether differences are more than chance."""

from __future__ import annotations

from collections.abc import Sequence

from lm.studies.comparison import drawing, sentences
from lm.studies.comparison.curves import AXES
from lm.studies.comparison.drawing import Which
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.group_figures import GroupFigures, Perplexity
from lm.studies.comparison.sections.shared import texts
from lm.studies.comparison.sentences import estimate, number
from lm.studies.comparison.statistics import Interval
from lm.studies.page import Block, Heading, Statements, Table, Text

CURVES: tuple[Which, ...] = ("training", "validation")
TOLD = 6
"""Largest number of comparisons that all get a sentence; if there are more, only those with a difference do."""


def prediction(report: Figures) -> list[Block | None]:
    groups = report.groups
    header = [
        "",
        "runs",
        "valid perplexity",
        "unknown",
        "test perplexity",
        "unknown",
        "test, free running",
        "unknown",
        "updates",
        "training tokens",
        "tokens/s",
    ]
    rows = [
        [
            g.name,
            str(len(g.runs)),
            *scored(g.valid),
            *scored(g.test),
            *scored(g.test_free_running),
            _count(g.updates),
            _count(g.tokens),
            number(g.tokens_per_second, 3),
        ]
        for g in groups
    ]
    reached = [
        [
            g.name,
            number(row.perplexity, 3),
            f"{row.reached} of {row.of}",
            *(_count(row.over(a)) if a != "seconds" else number(row.over(a), 3) for a in AXES),
        ]
        for level in report.perplexities
        for g in groups
        for row in g.convergence
        if row.perplexity == level
    ]
    return [
        Heading("How well do they predict, and how fast did they learn?"),
        Table(
            header,
            rows,
            "Perplexity of the best checkpoint. It reads true words; under free running it reads its own most "
            "probable words after each window's true first word. Unknown: how many of the tokens scored are out of "
            "vocabulary and read as <unk>; many of them make a text easy to predict.",
        ),
        Text(
            "Training loss also falls when a model learns its text by heart. Compare figures on text that it was not "
            "trained on, at the best epoch, which need not be the last."
        ),
        Statements(_learning(report)),
        *(drawing.curves(report, which, text) for text in texts(report) for which in CURVES),
        Heading("Convergence", 3),
        Statements([sentences.reached(level, groups) for level in report.perplexities]),
        Table(
            ["", "perplexity", "runs that reached it", "tokens", "updates", "seconds of training"],
            reached,
            "At the first validation at or below the perplexity. Seconds are without validation.",
        ),
    ]


def _learning(report: Figures) -> list[str]:
    groups, said = report.groups, []
    feedback = {str(group.forcing.feedback) for group in groups}
    if len(feedback) > 1:
        said.append(
            f"The settings read different words while they train ({', '.join(sorted(feedback))}), so their training "
            "losses measure different tasks: only the validation curves can be compared."
        )
    if report.incomparable:
        said.append(sentences.incomparable(report.incomparable))
    said += [line for line in (both_changed(groups),) if line]
    for group in groups:
        run = next(run for run in report.runs if run.group == group.name)
        curve, best = run.curves.validation, run.valid_perplexity
        if curve and best is not None and run.best_epoch and len(curve.values) > 1:
            last, epochs = curve.values[-1], len(curve.values)
            said.append(sentences.epochs(run.label, best, run.best_epoch, last, epochs))
    return said


def both_changed(groups: Sequence[GroupFigures]) -> str | None:
    """A warning about comparisons that change both the words fed back and the number of updates; None if none do."""
    found = []
    for i, a in enumerate(groups):
        for b in groups[i + 1 :]:
            if not a.updates or not b.updates or a.updates == b.updates or a.tokens != b.tokens:
                continue
            if a.forcing.feedback != b.forcing.feedback:
                more, fewer = (a, b) if a.updates > b.updates else (b, a)
                ratio = max(a.updates, b.updates) / min(a.updates, b.updates)
                found.append(f"{more.name} with {fewer.name} ({number(ratio, 3)} times the updates)")
    if not found:
        return None
    return (
        "On the same tokens, these comparisons change two things at once, what is fed back and how often the weights "
        f"change, and cannot show which of them made the difference: {'; '.join(found)}."
    )


def chance(report: Figures) -> list[Block | None]:
    rows = report.differences
    if not rows:
        return []
    level = f"{100 * rows[0].confidence_of_all:g}%"
    together = f", which hold for all {len(rows)} comparisons together" if len(rows) > 1 else ""
    table = []
    for row in rows:
        spans = [_interval(part) for part in (row.over_text, row.over_seeds)]
        settled = "yes" if row.over_seeds.low is not None else "of these runs"
        shown = settled if row.shown else "no"
        table.append([" minus ".join(reversed(row.groups)), number(row.nats, 3), *spans, shown])
    told = rows if len(rows) <= TOLD else [row for row in rows if row.shown]
    return [
        Heading("Is the difference more than chance?"),
        Text(
            f"Differences in nats on the same words of the test text, with {level} intervals{together}. Over the text: "
            f"segments of {rows[0].segment_tokens} tokens are drawn again {report.settings.resamples:,} times, the "
            "same segments for both (Bonferroni for several comparisons). Over seeds: Tukey's, which assumes the same "
            "spread of seeds in every setting. A difference is shown where both intervals exclude 0. With an interval "
            "over the text only, it holds for these trained models and not for their settings."
        ),
        Table(["", "nats a token", "over the text", "over seeds", "shown"], table),
        drawing.differences(report),
        Statements([sentences.difference(row) for row in told]),
    ]


def _interval(part: Interval) -> str:
    return "-" if part.low is None else sentences.interval(part.low, part.high, 3)


def scored(figure: Perplexity | None) -> list[str]:
    """A perplexity, and how many of its tokens are unknown."""
    if not figure:
        return ["-", "-"]
    return [estimate(figure), sentences.unknown(figure.unknown, figure.tokens)]


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
