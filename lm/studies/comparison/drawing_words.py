"""The plots of a comparison's generated texts and word distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lm.studies.comparison.drawing import GREY, legend_columns, picture_file
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.quality import Quality, SampleQuality
from lm.studies.comparison.related import PairsApart
from lm.studies.comparison.vectors import KINDS, Spread
from lm.studies.page import Picture
from lm.studies.plots import PALETTE, figure, image, legend, line, styled

MEASURES: dict[str, Callable[[Quality], float | None]] = {
    "texts that end in a loop, %": lambda found: 100 * found.loops / found.sequences,
    "distinct-2": lambda found: found.distinct_2,
    "nats a word under the model itself": lambda found: found.surprisal,
}
"""What the picture of generated texts shows of them."""


@styled
def sampling(report: Figures, text: str | None) -> Picture | None:
    """Draw loops, variety and surprisal over temperature: each setting's mean and range over seeds.

    Greedy text is at 0, as the limit of low temperatures. Horizontal lines are real text; for its surprisal each
    setting has a line of its own, because each has models of its own.
    """
    groups: dict[str, list[SampleQuality]] = {}
    for run in report.runs:
        if run.text == text and run.quality:
            groups.setdefault(run.group, []).append(run.quality)
    if not groups:
        return None
    drawn, panels = figure(columns=3, width=12, height=3.8)
    for panel, (label, measure) in zip(panels, MEASURES.items(), strict=True):
        heights = {}
        for number, (group, runs) in enumerate(groups.items()):
            look, places = line(number), [0.0, *runs[0].by_temperature]
            rows = [[measure(one) for one in (run.greedy, *run.by_temperature.values())] for run in runs]
            values = np.array(rows, dtype=float)
            panel.plot(places, values.mean(axis=0), **look, label=group if len(groups) > 1 else "generated text")
            panel.fill_between(places, values.min(axis=0), values.max(axis=0), color=look["color"], alpha=0.15, lw=0)
            real = np.array([measure(run.real) for run in runs if run.real], dtype=float)
            if len(real):
                heights[group] = look["color"], float(real.mean())
        alike = len({round(height, 6) for _, height in heights.values()}) == 1
        for colour, height in list(heights.values())[: 1 if alike else None]:
            panel.axhline(height, color="black" if alike else colour, linestyle=(0, (2, 2)), linewidth=1.2)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("temperature (0: greedy)")
        panel.set_ylabel(label)
    if any(run.real for runs in groups.values() for run in runs):
        panels[0].plot([], [], color="black", linestyle=(0, (2, 2)), linewidth=1.2, label="real test text")
    legend(drawn, panels[0], columns=legend_columns([*groups, "real test text"]))
    return Picture(
        picture_file("sampling", report, text),
        image(drawn),
        "Loops, variety and surprisal of generated text over temperature, beside real text",
    )


@styled
def related(report: Figures) -> Picture | None:
    """Draw the cosine distance of each related and unrelated pair in every run: a row before training, one after."""
    measured: dict[str, list[tuple[PairsApart, PairsApart]]] = {}
    for run in report.runs:
        if (found := run.relatedness) and found.related and found.unrelated:
            measured.setdefault(run.group, []).append((found.related, found.unrelated))
    rows: dict[str, list[list[float]]] = {}  # related distances, unrelated ones
    for group, runs in measured.items():
        for when in ("before training", "trained"):
            both = [
                [
                    value
                    for own in side
                    for value in (own.trained if when == "trained" else own.initial or {}).get("cosine", ())
                ]
                for side in zip(*runs, strict=True)
            ]
            if all(both):
                rows[f"{group}\n{when}" if len(measured) > 1 else when] = both
    if not rows:
        return None
    drawn, (panel,) = figure(width=9, height=1.5 + 0.75 * len(rows))
    for y, both in enumerate(rows.values()):
        for values, shift, number, label in zip(both, (-0.17, 0.17), (0, 1), ("related", "unrelated"), strict=True):
            look: dict[str, Any] = {"color": PALETTE[number], "linestyle": "none"}
            named = f"{label} pairs; line: their mean" if y == 0 else "_"
            panel.plot(values, [y + shift] * len(values), marker="os"[number], ms=5, alpha=0.45, mew=0, **look)
            panel.plot([], [], marker="os"[number], ms=6, label=named, **look)
            panel.plot([np.mean(values)] * 2, [y + shift - 0.14, y + shift + 0.14], color=PALETTE[number], linewidth=3)
    panel.set_yticks(range(len(rows)), list(rows))
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xlabel("cosine distance")
    legend(drawn, panel)
    return Picture(
        "related.png", image(drawn), "Cosine distances of related and unrelated pairs, before and after training"
    )


@styled
def distances(report: Figures, at: int) -> Picture | None:
    """Draw the distances of word pair number `at` in every run, before and after training, and frequent pairs' range.

    Where runs have different pairs, each label names its run's pair.
    """
    measured = [(run, run.embeddings) for run in report.runs if run.embeddings and len(run.embeddings.pairs) > at]
    if not measured:
        return None
    pairs = [" - ".join(embeddings.pairs[at].words) for _, embeddings in measured]
    alike = len(set(pairs)) == 1
    labels = [run.label if alike else f"{run.label}\n{pair}" for (run, _), pair in zip(measured, pairs, strict=True)]
    drawn, panels = figure(columns=2, width=12, height=1.7 + (0.42 if alike else 0.6) * len(measured))
    for panel, kind in zip(panels, KINDS, strict=True):
        for y, (_, embeddings) in enumerate(measured):
            pair, frequent = embeddings.pairs[at].by(kind), embeddings.frequent_pairs.by(kind)
            _range(panel, frequent.initial, y - 0.13, GREY, "95% of frequent pairs, before training")
            _range(panel, frequent.trained, y + 0.13, PALETTE[4], "95% of frequent pairs, trained")
            if pair.initial is not None:
                label = "this pair, before training" if y == 0 else "_"
                panel.plot(pair.initial, y - 0.13, "o", color="white", mec="black", ms=6, label=label)
            label = "this pair, trained" if y == 0 else "_"
            panel.plot(pair.trained, y + 0.13, "D", color=PALETTE[1], ms=6, label=label)
        panel.set_yticks(range(len(measured)), labels)
        panel.tick_params(axis="y", labelsize=9)
        panel.set_ylim(len(measured) - 0.5, -0.5)
        panel.set_xlabel(f"{kind} distance")
    panels[1].tick_params(labelleft=False)
    words = pairs[0] if alike else "a pair of each run's own words"
    drawn.suptitle(words, x=0.01, ha="left")
    legend(drawn, panels[0])
    return Picture(
        f"distances-{at + 1}.png", image(drawn), f"Distances of {words} in every run, before and after training"
    )


def _range(panel: Axes, span: Spread | None, y: float, colour: str, label: str) -> None:
    if span is None:
        return
    again = label in panel.get_legend_handles_labels()[1]
    panel.plot([span.low, span.high], [y, y], color=colour, linewidth=5, alpha=0.6, label="_" if again else label)
