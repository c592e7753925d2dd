"""Draws an autograd graph: time runs to the right, operations run down from the loss, weights are in notes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon
from matplotlib.path import Path

from lm.studies.plots import PALETTE, figure, image, styled
from lm.studies.truncation.arrangement import CUT, LABEL, MARGIN, NOTE, TITLE, Card, Point, arrange, size
from lm.studies.truncation.graph import Graph

GREEN, GREY = "#e3f1ea", "#555555"


@styled
def picture(graph: Graph) -> bytes:
    """Draw the graph; returns the picture as the content of a PNG file."""
    shown = arrange(graph.without_reshapes())
    made, (axes,) = figure(width=shown.width, height=shown.height)
    axes.set_axis_off()
    axes.set(xlim=(0, shown.width), ylim=(shown.height, 0), aspect="equal")
    for window, (left, right) in enumerate(shown.frames, 1):
        _box(axes, left, MARGIN / 2, right - left, shown.height - MARGIN, facecolor="#f2f6fa", edgecolor="#bbbbbb")
        axes.text(left + MARGIN, MARGIN, f"window {window}", size=TITLE, weight="bold", va="top")
    for points in shown.edges:
        _arrow(axes, _curve(points), color=GREY, linewidth=1.2, arrowstyle="-|>")
    for points in shown.cuts:
        _arrow(axes, _curve(points), color=PALETTE[0], linewidth=1.6, arrowstyle="-", linestyle="--")
    for points in shown.crossing:
        _arrow(axes, _corners(points), color=PALETTE[1], linewidth=3.5, arrowstyle="-|>")
    for number, card in shown.cards.items():
        _card(axes, card, cut=number >= CUT)
    return image(made)


def _curve(points: Sequence[Point]) -> Path:
    """A curve through the points that is vertical at each point."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x, y), (to_x, to_y) in pairwise(points):
        vertices += [(x, (y + to_y) / 2), (to_x, (y + to_y) / 2), (to_x, to_y)]
        codes += [Path.CURVE4] * 3
    return Path(vertices, codes)


def _corners(points: Sequence[Point], radius: float = 0.1) -> Path:
    """Straight lines from point to point with rounded corners."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for before, at, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
        for x, y in (before, after):
            length = max(abs(x - at[0]), abs(y - at[1]))
            near = min(radius, length / 2) / length
            vertices.append((at[0] + (x - at[0]) * near, at[1] + (y - at[1]) * near))
            if (x, y) == before:
                vertices.append(at)
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])


def _arrow(axes: Axes, way: Path, **look: Any) -> None:
    axes.add_patch(FancyArrowPatch(path=way, mutation_scale=11, joinstyle="miter", shrinkA=0, shrinkB=0, **look))


def _box(axes: Axes, left: float, top: float, width: float, height: float, **look: Any) -> None:
    axes.add_patch(FancyBboxPatch((left, top), width, height, boxstyle="round,pad=0,rounding_size=0.08", **look))


def _card(axes: Axes, card: Card, cut: bool) -> None:
    (width, height), colour = card.head, PALETTE[0] if cut else "black"
    written: dict[str, Any] = {"ha": "center", "va": "center", "linespacing": 1.2}
    if card.note:
        half, top, bottom = size(card.note, NOTE)[0] / 2, card.top + height, card.top + card.height
        outline = [(-half, top), (half, top), (half, bottom - 0.1), (half - 0.1, bottom), (-half, bottom)]
        outline = [(card.middle + x, y) for x, y in outline]  # one corner is folded
        axes.add_patch(Polygon(outline, facecolor=GREEN, edgecolor=GREY, linewidth=0.8))
        axes.text(card.middle, (top + bottom) / 2, card.note, size=NOTE, **written)
    look = {"linestyle": "--", "linewidth": 1.6} if cut else {"linewidth": 1.0}
    _box(axes, card.middle - width / 2, card.top, width, height, facecolor=card.fill, edgecolor=colour, **look)
    axes.text(card.middle, card.top + height / 2, card.label, size=LABEL, color=colour, **written)
