"""Draws a corpus: unknown tokens over the size of the vocabulary, and the lengths of lines."""

from __future__ import annotations

from matplotlib.ticker import PercentFormatter

from lm.studies.description.figures import Figures
from lm.studies.plots import PALETTE, figure, image, legend, line, styled


@styled
def picture(found: Figures) -> bytes:
    """The picture as the content of a PNG file."""
    drawn, (left, right) = figure(1, 2, width=10)
    for number, split in enumerate(found.splits):
        left.plot(list(found.curve), [shares[split] for shares in found.curve.values()], label=split, **line(number))
        lengths = found.splits[split].lengths
        lines = sum(lengths.counts.values())
        shown = {length: count for length, count in lengths.counts.items() if length <= found.longest_shown}
        look = {**line(number), "marker": ""}
        right.plot(list(shown), [count / lines for count in shown.values()], label=split, **look)
    if found.curve:
        left.axvline(found.vocabulary, color=PALETTE[6], linewidth=1, linestyle=":")
        left.annotate("this vocabulary", (found.vocabulary, 1), xycoords=("data", "axes fraction"), rotation=90,
                      ha="right", va="top", fontsize=9, xytext=(-2, -2), textcoords="offset points")  # fmt: skip
        left.set(xscale="log", ylim=(0, None), xlabel=f"{found.unit}s in the vocabulary", title="Unknown tokens")
        left.yaxis.set_major_formatter(PercentFormatter(1))
    else:
        left.set_axis_off()
        left.text(0.5, 0.5, "The tokeniser brings its vocabulary.", ha="center", transform=left.transAxes)
    right.set(ylim=(0, None), xlabel="tokens in a line, <eos> included", title="Lines of each length")
    right.yaxis.set_major_formatter(PercentFormatter(1))
    legend(drawn, right, columns=3)
    return image(drawn)
