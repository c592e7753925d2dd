"""Places the boxes of a directed graph in rows, so that every edge goes down (Sugiyama, Tagawa & Toda 1981)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
from scipy.optimize import isotonic_regression

SWEEPS = 12


@dataclass(frozen=True)
class Layers:
    """Each box's row, from 0 at the top, and its middle; `bends` says where an edge crosses the rows in between."""

    row: dict[int, int]
    middle: dict[int, float]
    bends: dict[tuple[int, int], list[tuple[float, int]]]


def layers(graph: nx.DiGraph, widths: Mapping[int, float], sides: Mapping[int, int], gap: float) -> Layers:
    """Place the boxes of a graph in rows.

    Args:
        graph: the boxes and their edges.
        widths: the widths of the boxes.
        sides: -1 keeps a box left of the others in its row, 1 right of them.
        gap: minimum distance between neighbours.
    """
    levels = list(nx.topological_generations(graph.reverse(copy=False)))  # from the leaves up
    row = {box: len(levels) - 1 - i for i, level in enumerate(levels) for box in level}
    # An edge over several rows has a box without width in each row in between, which keeps a place free.
    between = {(a, b): [(a, b, at) for at in range(row[a] + 1, row[b])] for a, b in graph.edges}
    whole = nx.DiGraph()
    whole.add_nodes_from(graph)
    for (a, b), bends in between.items():
        nx.add_path(whole, [a, *bends, b])
    rows: list[list[Any]] = [[] for _ in levels]
    for box in whole:
        rows[box[2] if isinstance(box, tuple) else row[box]].append(box)
    middle: dict[Any, float] = {box: float(i) for boxes in rows for i, box in enumerate(boxes)}

    def place(boxes: list[Any], neighbours: Mapping[Any, Any]) -> None:
        """Put each box as near to the mean of its neighbours as order and widths allow."""
        near = {box: [middle[other] for other in neighbours[box]] for box in boxes}
        wanted = {box: float(np.mean(near[box] or [middle[box]])) for box in boxes}
        boxes.sort(key=lambda box: (sides.get(box, 0), wanted[box]))
        half = [widths.get(box, 0.0) / 2 for box in boxes]
        apart = np.cumsum([0.0, *(a + b + gap for a, b in pairwise(half))])
        free = isotonic_regression([wanted[box] for box in boxes] - apart).x
        middle.update(zip(boxes, (free + apart).tolist(), strict=True))

    for _ in range(SWEEPS):
        for boxes in rows:
            place(boxes, whole.pred)
        for boxes in reversed(rows):
            place(boxes, whole.succ)
    passed = {edge: [(middle[bend], bend[2]) for bend in bends] for edge, bends in between.items()}
    return Layers(row, {box: middle[box] for box in graph}, passed)
