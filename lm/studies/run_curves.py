"""A picture of one run's curves, `curves.png` in its folder, from its `curves.csv`."""

from __future__ import annotations

import csv
from pathlib import Path

from lm.runs.run_folder import TABLE
from lm.studies.plots import PALETTE, figure, image, log_scale, styled
from lm.system.files import whole

PICTURE = "curves.png"
Column = list[tuple[float, float]]


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's table, each by the names of its columns; [] without a table."""
    path = folder / TABLE
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def points_of(folder: Path, x: str, y: str) -> Column:
    """The points (x, y) of a run's curve: two columns of its table, where both have a value; [] without a table.

    Raises KeyError for a column that the table does not have.
    """
    return _points(rows_of(folder), x, y)


def _points(rows: list[dict[str, str]], x: str, y: str) -> Column:
    return [(float(row[x]), float(row[y])) for row in rows if row[y]]


@styled
def draw_run(folder: Path) -> Path | None:
    """Draw perplexity and learning rate over the windows; returns the file, None if the run has no points."""
    rows = rows_of(folder)
    train, valid, rate = (_points(rows, "windows", y) for y in ("train/perplexity", "valid/perplexity", "train/lr"))
    if not train:
        return None
    drawn, (left, right) = figure(columns=2, height=3.6)
    left.plot(*zip(*train, strict=True), color=PALETTE[0], label="training", linewidth=1.2)
    if valid:
        left.plot(*zip(*valid, strict=True), color=PALETTE[1], marker="o", label="validation")
    left.set(title="perplexity", xlabel="windows")
    log_scale(left, [value for _, value in [*train, *valid]])
    left.legend()
    right.plot(*zip(*rate, strict=True), color=PALETTE[2])
    right.set(title="learning rate", xlabel="windows", xlim=left.get_xlim(), ylim=(0, None))
    drawn.suptitle(f"{folder.parent.name}/{folder.name}", size="small", color="#555555")
    target = folder / PICTURE
    with whole(target, "free some space") as aside:
        aside.write_bytes(image(drawn))
    return target
