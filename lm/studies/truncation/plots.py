"""Plots the measurements of the study of detaching the state."""

from __future__ import annotations

import numpy as np

from lm.studies.plots import figure, image, legend, line, styled
from lm.studies.truncation.figures import Figures, Point


@styled
def memory(found: Figures) -> bytes:
    """Plot peak memory over the tokens between two updates, and over the length of a stream with detach: a PNG."""
    drawn, (left, right) = figure(columns=2, width=10, height=4.2)
    for i, (label, points) in enumerate(_series(found)):
        left.plot([p.tokens for p in points], [p.bytes / 1e6 for p in points], label=label, **line(i))
    left.set(title="Peak memory, idle model taken off", xlabel="tokens between two updates", ylabel="MB")
    left.set_ylim(bottom=0)
    left.legend()
    windows = [stream.windows for stream in found.streams]
    right.plot(windows, [s.bytes / 1e6 for s in found.streams], label="detach before every window", **line(0))
    base = found.streams[0].bytes - found.bytes_per_window
    grid = np.geomspace(1, max(windows), 100)
    kept = [(base + n * found.bytes_per_window) / 1e6 for n in grid]
    right.plot(grid, kept, label="no detach (extrapolated from the left)", **{**line(1), "marker": ""})
    right.set(title="The same over a stream", xlabel="windows in the stream", ylabel="MB", xscale="log", yscale="log")
    right.legend(loc="upper left")
    return image(drawn)


@styled
def seconds(found: Figures) -> bytes:
    """Plot seconds per update and per thousand tokens of a stream, over the tokens between two updates: a PNG."""
    drawn, (left, right) = figure(columns=2, width=10, height=4.2)
    for i, (label, points) in enumerate(_series(found)):
        for axes, scale in ((left, [1.0 for _ in points]), (right, [1000 / p.tokens for p in points])):
            middle = np.array([p.seconds for p in points]) * scale
            spread = [
                middle - [p.low for p in points] * np.array(scale),
                [p.high for p in points] * np.array(scale) - middle,
            ]
            axes.errorbar([p.tokens for p in points], middle, yerr=spread, capsize=3, label=label, **line(i))
    left.set(title="Seconds an update", xlabel="tokens between two updates", ylabel="s")
    right.set(title="Seconds a thousand tokens of each stream", xlabel="tokens between two updates", ylabel="s")
    for axes in (left, right):
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    legend(drawn, left)
    return image(drawn)


@styled
def reach(found: Figures) -> bytes:
    """Plot norms of d loss(t) / d state(t - k) over k, on a log scale, with the 10% to 90% band: a PNG."""
    drawn, (axes,) = figure(width=10, height=4.6)
    for i, (name, model) in enumerate(found.models.items()):
        steps, look = range(len(model.reach.mean)), {**line(i), "marker": ""}
        axes.plot(steps, model.reach.mean, label=f"{name}: mean", **look)
        axes.fill_between(steps, model.reach.low, model.reach.high, color=look["color"], alpha=0.2, linewidth=0)
    axes.axvline(found.window, color="#000000", linewidth=1, linestyle=":", label=f"a window: {found.window} tokens")
    axes.set(yscale="log", xlabel="k: steps back from the loss", ylabel="norm", title="d loss(t) / d state(t - k)")
    axes.legend(loc="upper right")
    return image(drawn)


def _series(found: Figures) -> list[tuple[str, list[Point]]]:
    length = found.by_windows[0].length
    series = [(f"1, 2, ... windows of {length}", found.by_windows), ("one window of that length", found.by_length)]
    return [(label, sorted(points, key=lambda point: point.tokens)) for label, points in series if points]
