"""The plots of a comparison's perplexities."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from matplotlib.ticker import FuncFormatter

from lm.studies.comparison.curves import Axis, LearningCurve
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.run_figures import RunFigures
from lm.studies.comparison.sections.shared import texts
from lm.studies.comparison.statistics import Interval
from lm.studies.page import Picture
from lm.studies.plots import PALETTE, figure, image, legend, line, log_scale, short, styled

AXES: dict[Axis, str] = {"tokens": "tokens read", "updates": "optimiser steps", "seconds": "seconds of training"}
GREY = "#888888"
Which = Literal["training", "validation"]
"""Which of a run's two curves is drawn."""


@styled
def curves(report: Figures, which: Which, text: str | None, width: float = 12) -> Picture | None:
    """Draw `training` loss or `validation` perplexity over tokens, updates and seconds, for the runs on one text. Each
    group of runs has a colour. In fewer inches of `width` letters are larger on the page."""
    drawable = [(run, curve) for run in report.runs if (curve := _curve(run, which)) and run.text == text]
    if not drawable:
        return None
    names = [group.name for group in report.groups]
    columns = legend_columns(names, width)
    drawn, panels = figure(columns=3, width=width, height=4.2 + 0.2 * math.ceil(len(names) / columns))
    for panel, (axis, label) in zip(panels, AXES.items(), strict=True):
        for run, curve in drawable:
            number, places = names.index(run.group), curve.over(axis)
            if places is None:
                continue
            unbroken = which == "training" and len(curve.values) > 1  # a single point needs its marker
            look = line(number) | ({"marker": ""} if unbroken else {})
            again = run.group in panel.get_legend_handles_labels()[1]
            label_of = "_" if again else run.group
            panel.plot(places, curve.values, **look, alpha=0.85, linewidth=1.4, label=label_of)
        panel.set_xlabel(label)
        panel.xaxis.set_major_formatter(FuncFormatter(short))
        panel.locator_params(axis="x", nbins=5)
        if not panel.lines:
            panel.text(0.5, 0.5, "not logged", ha="center", va="center", color=GREY, transform=panel.transAxes)
    for panel in panels[1:]:
        panel.sharey(panels[0])
        panel.tick_params(labelleft=False, which="both")
    if which == "validation":
        log_scale(panels[0], [value for _, curve in drawable for value in curve.values])
    what = "training loss, nats a token" if which == "training" else "validation perplexity (log scale)"
    panels[0].set_ylabel(what)
    legend(drawn, panels[0], columns=columns)
    return Picture(
        picture_file(which, report, text), image(drawn), f"{what.capitalize()} over tokens, optimiser steps and seconds"
    )


def _curve(run: RunFigures, which: Which) -> LearningCurve | None:
    return run.curves.training if which == "training" else run.curves.validation


@styled
def tuned(report: Figures) -> Picture | None:
    """Draw the validation perplexity of each setting at its best learning rate: mean and range over seeds."""
    drawn, panels = figure(columns=2, width=12, height=5)
    shown: list[float] = []
    axes: tuple[Axis, ...] = ("tokens", "seconds")
    for number, row in enumerate(report.tuned):
        curves = [run.curves.validation for run in report.runs if run.group == row.group and run.curves.validation]
        if not curves or len({len(curve.values) for curve in curves}) > 1:
            continue  # without events, or stopped at different times
        values = np.array([curve.values for curve in curves])  # seeds, points
        shown += values.ravel().tolist()
        for panel, axis in zip(panels, axes, strict=True):
            places = [place for curve in curves if (place := curve.over(axis))]
            if len(places) < len(curves):
                continue
            middle, look = np.mean(places, axis=0), line(number)
            panel.plot(middle, values.mean(axis=0), **look, label=row.name)
            panel.fill_between(middle, values.min(axis=0), values.max(axis=0), color=look["color"], alpha=0.15, lw=0)
    if not shown:
        return None
    for panel, axis in zip(panels, axes, strict=True):
        panel.set_xlabel(AXES[axis])
        panel.xaxis.set_major_formatter(FuncFormatter(short))
        log_scale(panel, shown)
    panels[1].sharey(panels[0])
    panels[0].set_ylabel("validation perplexity (log scale)")
    legend(drawn, panels[0], columns=5)
    return Picture(
        "tuned.png", image(drawn), "Validation perplexity at each setting's best learning rate, over tokens and seconds"
    )


@styled
def differences(report: Figures) -> Picture | None:
    """Draw each pair of groups' difference in nats per token on the test text, with intervals over text and seeds."""
    rows = [row for row in report.differences if row.over_text.low is not None]
    if not rows:
        return None
    drawn, (panel,) = figure(width=10, height=1.5 + 0.5 * len(rows))
    spans: tuple[tuple[str, list[Interval], float, int], ...] = (
        ("over segments of the text", [row.over_text for row in rows], -0.12, 0),
        ("over seeds", [row.over_seeds for row in rows], 0.12, 1),
    )
    for label, parts, shift, colour in spans:
        known = [
            (at, part.mean, part.low, part.high)
            for at, part in enumerate(parts)
            if part.low is not None and part.high is not None
        ]
        if known:
            middle = [mean for _, mean, _, _ in known]
            ends = [[mean - low for _, mean, low, _ in known], [high - mean for _, mean, _, high in known]]
            look: dict[str, Any] = {"color": PALETTE[colour], "marker": "os"[colour], "linestyle": "none", "capsize": 4}
            panel.errorbar(middle, [at + shift for at, *_ in known], xerr=ends, label=label, **look)
    panel.axvline(0, color="black", linewidth=1)
    panel.set_yticks(range(len(rows)), [f"{row.groups[1]}\nminus {row.groups[0]}" for row in rows])
    panel.tick_params(axis="y", labelsize=9)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xlabel("nats a token more (right) or fewer (left)")
    legend(drawn, panel)
    return Picture("differences.png", image(drawn), "Differences in nats a token on the test text, with intervals")


def picture_file(name: str, report: Figures, text: str | None) -> str:
    """The picture's file name; if the report has several training texts, the name contains the text's number."""
    several = texts(report)
    return f"{name}.png" if len(several) == 1 else f"{name}-{several.index(text) + 1}.png"


def legend_columns(names: list[str], width: float = 12) -> int:
    """Into how many columns a legend of these names fits, for a picture of so many inches."""
    return max(1, min(len(names), int(9.2 * width) // (max(map(len, names), default=1) + 8)))
