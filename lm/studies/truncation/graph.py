"""Records the autograd graph of the losses of a few small windows, with and without detach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import networkx as nx
import torch

from lm.models.interfaces import detach
from lm.models.recurrent_language_model import RecurrentLanguageModel

WINDOWS = 3
TOKENS = 2

RESHAPES = ("View", "Transpose", "T", "Squeeze", "Unsqueeze", "Select", "Stack", "Unbind")
"""Names of operations that only change a tensor's shape: torch records them, but the drawing leaves them out."""


@dataclass(frozen=True)
class Node:
    """An operation: its name, the window that made it (from 1), the weights it reads, and the value it makes."""

    operation: str
    window: int
    weights: tuple[str, ...] = ()
    makes: str = ""  # loss, h or c; empty for other operations

    @property
    def only_reshapes(self) -> bool:
        return not self.makes and self.operation in RESHAPES


@dataclass(frozen=True)
class Graph:
    """A graph: nodes by number, and edges (from, to) in the direction of gradients, from a loss to its inputs."""

    nodes: dict[int, Node]
    edges: list[tuple[int, int]]

    @property
    def crossing(self) -> list[tuple[int, int]]:
        """The edges on which a gradient passes to an earlier window."""
        return [(a, b) for a, b in self.edges if self.nodes[a].window != self.nodes[b].window]

    def reached_windows(self, start: int) -> set[int]:
        """The windows that the gradient from node number `start` reaches."""
        seen = nx.descendants(nx.DiGraph([(start, start), *self.edges]), start)
        return {self.nodes[i].window for i in {start, *seen}}

    def find(self, makes: str, window: int) -> int:
        """The number of the node that makes the value `makes` (`loss`, `h` or `c`) of a window."""
        return next(i for i, node in self.nodes.items() if node.makes == makes and node.window == window)

    def without_reshapes(self) -> Graph:
        """A copy of the graph without reshapes; weights of a reshape move to the operations that read its result."""
        nodes, edges = dict(self.nodes), list(self.edges)
        for i in [i for i, node in nodes.items() if node.only_reshapes]:
            readers, read = [a for a, b in edges if b == i], [b for a, b in edges if a == i]
            for reader in readers:
                nodes[reader] = replace(nodes[reader], weights=nodes[reader].weights + nodes[i].weights)
            edges = [edge for edge in edges if i not in edge] + [(a, b) for a in readers for b in read]
            del nodes[i]
        return Graph(nodes, edges)


def record(detached: bool) -> Graph:
    """Record the autograd graph of the losses and states of three windows, each of two tokens."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = RecurrentLanguageModel(vocab_size=7, embedding_size=2, hidden_size=3)
        words = torch.randint(7, (1, WINDOWS * TOKENS + 1))  # B, N
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    state, kept = model.initial_state(1), []
    for k in range(WINDOWS):
        piece = words[:, k * TOKENS : (k + 1) * TOKENS + 1]
        hidden, state = model(piece[:, :-1], detach(state) if detached else state)
        ((h, c),) = state
        kept.append({"loss": model.head.nll(hidden, piece[:, 1:]).mean(), "h": h, "c": c})
    return _walk([{name: made.grad_fn for name, made in window.items()} for window in kept], names)


def _walk(kept: list[dict[str, Any]], names: dict[int, str]) -> Graph:
    """Assign each operation to the first window whose loss or state leads to it."""
    numbers: dict[Any, int] = {}
    nodes: dict[int, Node] = {}
    edges: list[tuple[int, int]] = []

    def visit(operation: Any, window: int, makes: str = "") -> int:
        if operation in numbers:
            return numbers[operation]
        number = numbers[operation] = len(numbers)
        name = operation.name().partition("Backward")[0].lstrip("_")
        leaves = [below.variable for below, _ in operation.next_functions if hasattr(below, "variable")]
        nodes[number] = Node(name, window, tuple(names[id(leaf)] for leaf in leaves), makes)
        for below, _ in operation.next_functions:
            if below is not None and not hasattr(below, "variable"):
                edges.append((number, visit(below, window)))
        return number

    for window, roots in enumerate(kept, 1):
        for makes, operation in roots.items():
            visit(operation, window, makes)
    return Graph(nodes, edges)
