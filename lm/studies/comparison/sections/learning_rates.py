"""The section on settings that were each tried with several learning rates; there is none if no setting was."""

from __future__ import annotations

from lm.studies.comparison import drawing
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.sections.shared import by_name
from lm.studies.comparison.sentences import estimate, interval, number
from lm.studies.comparison.statistics import Interval
from lm.studies.page import Block, Heading, Statements, Table, Text


def learning_rates(report: Figures) -> list[Block | None]:
    if not report.tuned:
        return []
    groups, rows = by_name(report), []
    for row in report.tuned:
        group = groups[row.group]
        own = [run for run in report.runs if run.group == row.group]
        seconds = [run.training_seconds for run in own if run.training_seconds]
        rows.append(
            [
                row.name,
                "-" if row.weights is None else f"{row.weights:,}",
                f"{row.rate:g} of {', '.join(f'{rate:g}' for rate in row.rates)}",
                str(len(own)),
                estimate(group.valid),
                estimate(group.test),
                _behind(row.behind),
                number(sum(seconds) / len(seconds) if seconds else None, 3),
                number(group.tokens_per_second, 3),
            ]
        )
    header = ["", "weights", "learning rate", "seeds", "valid perplexity", "test perplexity"]
    header += ["test nats more than the first", "seconds of training", "tokens/s"]
    level = f"{100 * report.settings.confidence:g}%"
    said = []
    for row in report.tuned:
        if row.at_the_edge:
            one = "only one" if row.at_the_edge == "only" else f"{row.at_the_edge} one"
            said.append(f"{row.name}: its best learning rate, {row.rate:g}, is the {one} that was tried.")
        if row.unfinished:
            rates = ", ".join(f"{rate:g}" for rate in row.unfinished)
            said.append(f"{row.name}: not every seed finished with the learning rate {rates}, which was not chosen.")
    return [
        Heading("Which is best, each at its best learning rate?"),
        Text(
            "The learning rate of each setting is the one with the lowest validation perplexity, in the mean over its "
            f"seeds. The test text chose nothing. Differences on it have Tukey's {level} intervals over seeds, which "
            "hold for all settings together; one that excludes 0 is more than the scatter of seeds. That another text "
            "would show it too is not tested here."
        ),
        Table(header, rows, "Lowest validation perplexity first."),
        drawing.tuned(report),
        Statements(said) if said else None,
    ]


def _behind(part: Interval | None) -> str:
    if part is None:
        return "-"
    return number(part.mean, 3) + ("" if part.low is None else f" {interval(part.low, part.high, 3)}")


def best_of_each(report: Figures) -> list[str]:
    """The short answer of this section."""
    if not report.tuned:
        return []
    first, *others = report.tuned
    worse = [row.name for row in others if row.behind and row.behind.low is not None and row.behind.low > 0]
    figure = by_name(report)[first.group].valid
    lowest = f"{first.name} ({number(figure.mean if figure else None)})"
    which = f" ({', '.join(worse)})" if worse else ""
    behind = others[0].behind if others else None
    next_one = f"; the next, {others[0].name}, needs {_behind(behind)} nats a token more there" if behind else ""
    return [
        f"Each at its best learning rate: lowest validation perplexity {lowest}; on the test text lower by more than "
        f"the scatter of seeds than {len(worse)} of the {len(others)} others{which}{next_one}."
    ]
