"""One style for every plot: colours that colour-blind readers can distinguish, lines and letters fit for print."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any, cast

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""The colours of Okabe & Ito (2008) without yellow, which is too pale for lines on white."""

DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "axes.titlelocation": "left",
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "svg.hashsalt": "recurrent-lm",
}


styled = rc_context(cast(Any, STYLE))
"""Decorator for functions that draw: it applies the style of this project only inside the function."""


def figure(rows: int = 1, columns: int = 1, width: float = 9.0, height: float = 4.0) -> tuple[Figure, list[Axes]]:
    """Make a figure of `width` x `height` inches; returns it and its axes in reading order.

    Call this function inside a `styled` function.
    """
    made = Figure(figsize=(width, height), layout="constrained")
    return made, list(made.subplots(rows, columns, squeeze=False).flat)


def line(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of the index-th line, so that lines differ in more than colour."""
    looks = {"color": PALETTE, "linestyle": DASHES, "marker": MARKERS}
    return {name: choices[index % len(choices)] for name, choices in looks.items()}


def log_scale(panel: Axes, values: list[float]) -> None:
    """Give the vertical axis of a panel that shows `values` a logarithmic scale with plain numbers."""
    panel.set_yscale("log")
    narrow = max(values) < 20 * min(values)  # with powers of ten alone the axis might have no number
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7) if narrow else (1, 3)))
    panel.yaxis.set_major_formatter(FuncFormatter(short))
    panel.yaxis.set_minor_locator(NullLocator())


def short(value: float, _: object = None) -> str:
    """Write a large number in short form: 1200000 as 1.2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            size = 1e3 if letter == "k" else size
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def legend(drawn: Figure, axes: Axes, columns: int = 2) -> None:
    """Add one legend for the whole figure, with the labels of `axes`, below the figure, where it covers no line."""
    handles, labels = axes.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=columns)


@styled
def image(drawn: Figure, kind: str = "png") -> bytes:
    """Render a figure; returns the content of a `png` or `svg` file."""
    target = BytesIO()
    # No date in the file: equal figures must give equal files.
    drawn.savefig(target, format=kind, dpi=130, metadata={"Date": None} if kind == "svg" else None)
    return target.getvalue()


def data_uri(content: bytes, kind: str = "png") -> str:
    """Encode an image file's content as a data URI, for use inside an HTML page."""
    media = {"png": "image/png", "svg": "image/svg+xml"}[kind]
    return f"data:{media};base64,{base64.b64encode(content).decode()}"
