"""Computes the layout of an autograd graph's picture: windows side by side, each with rows of boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import networkx as nx
from matplotlib.textpath import TextPath

from lm.studies.truncation.graph import WINDOWS, Graph
from lm.studies.truncation.layers import Layers, layers

Point = tuple[float, float]

# Lengths are in inches, letter sizes in points; y grows downwards.
TITLE, LABEL, NOTE = 13, 11, 9.5
PAD, GAP, ROW_GAP, MARGIN, BETWEEN = 0.09, 0.17, 0.4, 0.17, 0.44
FILLS = {"loss": "#fde3c8", "h": "#dcebf7", "c": "#dcebf7"}
CUT = 10**6
"""The number of a detached state's box is this constant plus the window's number; operations count from 0."""


@dataclass(frozen=True)
class Card:
    """A box: its text and position, and the note below the box with the names of weights."""

    label: str
    note: str = ""
    fill: str = "white"
    middle: float = 0.0
    top: float = 0.0

    @property
    def head(self) -> Point:
        return size(self.label, LABEL)

    @property
    def width(self) -> float:
        return max(self.head[0], size(self.note, NOTE)[0])

    @property
    def height(self) -> float:
        return self.head[1] + size(self.note, NOTE)[1]


@dataclass
class Arrangement:
    """A layout: the boxes by number, the windows' frames (left, right), the lines as points, and the total size."""

    cards: dict[int, Card] = field(default_factory=dict)
    frames: list[Point] = field(default_factory=list)
    edges: list[list[Point]] = field(default_factory=list)
    crossing: list[list[Point]] = field(default_factory=list)
    cuts: list[list[Point]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


@cache
def size(text: str, points: float) -> Point:
    """Width and height of a box around a text."""
    if not text:
        return 0.0, 0.0
    lines = text.split("\n")
    width = max(TextPath((0, 0), line, size=points).get_extents().width for line in lines) / 72
    return width + 2 * PAD, len(lines) * points * 1.2 / 72 + 1.6 * PAD


def arrange(graph: Graph) -> Arrangement:
    """Place all boxes, frames and edges of the graph."""
    made = Arrangement()
    windows = [_window(graph, window) for window in range(1, WINDOWS + 1)]
    heights = [0.0] * max(max(placed.row.values()) + 1 for _, placed in windows)
    for cards, placed in windows:
        for i, card in cards.items():
            heights[placed.row[i]] = max(heights[placed.row[i]], card.height)
    tops = [2 * MARGIN + TITLE / 72]
    for height in heights:
        tops.append(tops[-1] + height + ROW_GAP)
    made.height = tops[-1] - ROW_GAP + 1.5 * MARGIN
    left = MARGIN / 2
    for cards, placed in windows:
        shift = left + MARGIN - min(placed.middle[i] - card.width / 2 for i, card in cards.items())
        for i, card in cards.items():
            made.cards[i] = Card(card.label, card.note, card.fill, placed.middle[i] + shift, tops[placed.row[i]])
        right = max(made.cards[i].middle + card.width / 2 for i, card in cards.items()) + MARGIN
        made.frames.append((left, right))
        for (a, b), bends in placed.bends.items():
            through = [(x + shift, y) for x, at in bends for y in (tops[at], tops[at] + heights[at])]
            (made.cuts if b >= CUT else made.edges).append(
                [_port(made, placed, a, b), *through, _port(made, placed, b, a)]
            )
        left = right + BETWEEN
    made.width = left - BETWEEN + MARGIN / 2
    made.crossing = _crossing(graph, made)
    return made


def _window(graph: Graph, window: int) -> tuple[dict[int, Card], Layers]:
    """The boxes of one window, and their rows. A detached state has a box too."""
    drawn, cards, sides = nx.DiGraph(), {}, {}
    for i, node in graph.nodes.items():
        if node.window == window:
            label = f"{node.makes} of\nwindow {window}" if node.makes in ("h", "c") else node.makes or node.operation
            cards[i] = Card(label, "\n".join(node.weights), FILLS.get(node.makes, "white"))
            sides[i] = int(node.makes in ("h", "c"))
    drawn.add_nodes_from(cards)
    drawn.add_edges_from((a, b) for a, b in graph.edges if a in cards and b in cards)
    sides |= {a: -1 for a, b in graph.crossing if a in cards}
    if window > 1 and graph.reached_windows(graph.find("loss", window)) == {window}:
        # The operation that reads the state is the lowest of those that read the recurrent weights.
        readers = [i for i in cards if any("weight_hh" in name for name in graph.nodes[i].weights)]
        reader = min(readers, key=lambda i: len(nx.descendants(drawn, i)))
        cards[CUT + window] = Card(f"h, c of window {window - 1}\ndetached: numbers only")
        sides[CUT + window] = -1
        drawn.add_edge(reader, CUT + window)
    return cards, layers(drawn, {i: card.width for i, card in cards.items()}, sides, GAP)


def _port(made: Arrangement, placed: Layers, at: int, other: int) -> Point:
    """The point where the edge between boxes `at` and `other` meets box `at`; edges that share a side do not touch."""
    card, down = made.cards[at], placed.row[other] > placed.row[at]

    def towards(edge: tuple[int, int]) -> float:
        bends = placed.bends[edge]
        far = edge[1] if down else edge[0]
        return bends[0 if down else -1][0] if bends else placed.middle[far]

    edges = sorted((edge for edge in placed.bends if edge[0 if down else 1] == at), key=towards)
    place = edges.index((at, other) if down else (other, at)) - (len(edges) - 1) / 2
    x = card.middle + place * min(0.25, 0.7 * card.width / len(edges))
    return x, card.top + (card.height if down else 0.0)


def _crossing(graph: Graph, made: Arrangement) -> list[list[Point]]:
    """The lines between windows: each leads left from the reading box, up between frames, then to the state."""
    found = []
    for window in range(2, WINDOWS + 1):
        edges = [(a, b) for a, b in graph.crossing if graph.nodes[a].window == window]
        edges.sort(key=lambda edge: -made.cards[edge[1]].middle)
        for k, (a, b) in enumerate(edges):
            reader, state = made.cards[a], made.cards[b]
            beside = [made.cards[i] for i, node in graph.nodes.items() if node.window == window - 1]
            beside = [card for card in beside if card.top == state.top and card.middle >= state.middle]
            start = reader.top + reader.head[1] * (k + 1) / (len(edges) + 1)
            channel = made.frames[window - 1][0] - BETWEEN * (k + 1) / (len(edges) + 1)
            below = max(card.top + card.height for card in beside) + 0.22 + 0.16 * k
            end = state.middle + state.width / 4
            left = reader.middle - reader.head[0] / 2
            found.append(
                [(left, start), (channel, start), (channel, below), (end, below), (end, state.top + state.height)]
            )
    return found
