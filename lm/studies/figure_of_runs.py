"""A figure of one curve of several runs, in the size of a paper's column; runs that differ in the seed are one line."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from lm.studies.comparison.groups import Group
from lm.studies.comparison.statistics import over_seeds
from lm.studies.plots import figure, line, log_scale, styled
from lm.studies.run_curves import points_of
from lm.system.errors import UserError
from lm.training.curve_file import COUNTS, TAGS

FORMATS = (".pdf", ".svg", ".png")
NAMES = {
    **{"windows": "windows", "tokens": "training tokens", "updates": "optimiser steps", "seconds": "training time (s)"},
    **{"train/loss": "training loss (nats a token)", "train/perplexity": "training perplexity"},
    **{"valid/loss": "validation loss (nats a token)", "valid/perplexity": "validation perplexity"},
    **{"train/lr": "learning rate", "train/tokens_per_second": "tokens/s", "train/gradient_norm": "gradient norm"},
    "train/clipped_share": "share of clipped updates",
}
FEW = 30
"""A curve of at most so many points has markers."""


@styled
def draw(groups: list[Group], x: str, y: str, size: tuple[float, float], confidence: float) -> Figure:
    """Draw the mean of each group's runs; where they have the same x, a band shows Student's interval over seeds.

    Args:
        groups: runs with the same settings and different seeds.
        x: windows, tokens, updates or seconds.
        y: a column of curves.csv, such as valid/perplexity.
        size: width and height in inches.
        confidence: of the intervals.

    Raises UserError for another `x` or `y`, and if no run has such a curve.
    """
    for name, value, known in (("x", x, COUNTS), ("y", y, TAGS)):
        if value not in known:
            raise UserError(f"{name}={value}: choose one of {', '.join(known)}")
    drawn, (axes,) = figure(width=size[0], height=size[1])
    count, drawn_values = 0, list[float]()
    for group in groups:
        curves = [curve for run in group.runs if (curve := points_of(run.folder, x, y))]
        if not curves:
            continue
        look = line(count)
        if max(map(len, curves)) > FEW:
            look["marker"] = None
        seeds = "" if len(curves) == 1 else f" ({len(curves)} seeds)"
        points = [*zip(*curves, strict=False)]  # the k-th of all curves, for each k that all of them have
        means = [over_seeds([value for _, value in place], confidence) for place in points]
        at = [float(np.mean([where for where, _ in place])) for place in points]
        drawn_values += [mean.mean for mean in means]
        axes.plot(at, [mean.mean for mean in means], label=f"{group.name}{seeds}", **look)
        low = [math.nan if mean.low is None else mean.low for mean in means]
        high = [math.nan if mean.high is None else mean.high for mean in means]
        axes.fill_between(at, low, high, color=look["color"], alpha=0.2, linewidth=0)
        count += 1
    if not count:
        raise UserError(f"runs: none of them has the curve {y} in its curves.csv; an earlier version wrote none")
    axes.set(xlabel=NAMES[x], ylabel=NAMES[y])
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    if y.endswith("perplexity"):
        log_scale(axes, drawn_values)
    if count > 1 or len(groups) > 1:
        axes.legend()
    return drawn
