"""The answers in short, each to be read with the section behind it."""

from __future__ import annotations

from typing import Any

from lm.studies.comparison.sections.shared import texts
from lm.studies.comparison.sentences import apart, number, side
from lm.studies.page import Block, Heading, Statements


def short(report: dict[str, Any]) -> list[Block | None]:
    said = [line for part in (_best, _own_words, _circles, _chance, _settings) for line in part(report)]
    return [Heading("In short"), Statements(said)] if said else []


def _best(report: dict[str, Any]) -> list[str]:
    groups = [group for group in report["groups"] if group["test"]]
    if len(groups) < 2 or len(texts(report)) > 1:
        return []
    best = min(groups, key=lambda group: float(group["test"]["mean"]))["name"]
    rows = [row for row in report["differences"] if best in row["groups"]]
    shown = [row for row in rows if row["shown"] and (row["nats"] > 0) == (row["groups"][0] == best)]
    runs_only = sum(row["over_seeds"]["low"] is None for row in shown)
    value = next(group["test"]["mean"] for group in groups if group["name"] == best)
    beyond = f"better, beyond chance, than {len(shown)} of the {len(groups) - 1} others"
    if len(rows) < len(groups) - 1:
        beyond += f", of which {len(rows)} were compared"
    limit = f" ({runs_only} of these comparisons are of single runs)" if runs_only else ""
    return [f"Lowest test perplexity, reading true words: {best} ({number(value)}), {beyond}{limit}."]


def _own_words(report: dict[str, Any]) -> list[str]:
    groups = [group for group in report["groups"] if group["test"] and group["test_free_running"]]
    if len(groups) < 2 or len(texts(report)) > 1:
        return []
    by_truth, by_own = (
        min(groups, key=lambda group: float(group[key]["mean"])) for key in ("test", "test_free_running")
    )
    value = f"{by_own['name']} ({number(by_own['test_free_running']['mean'])})"
    if by_truth is by_own:
        return [f"Fed its own words, the same setting has the lowest perplexity: {value}."]
    other = f"{by_truth['name']}, best on true words, has {number(by_truth['test_free_running']['mean'])}"
    limit = apart(by_own["test_free_running"], by_truth["test_free_running"])
    return [f"Fed their own words, another setting has the lowest perplexity: {value}; {other} ({limit})."]


def _circles(report: dict[str, Any]) -> list[str]:
    found = [run["quality"] for run in report["runs"] if run["quality"]]
    if not found:
        return []
    ends = {
        sampler: (sum(q[sampler]["loops"] for q in found), sum(q[sampler]["sequences"] for q in found))
        for sampler in ("greedy", "random")
    }
    greedy, random = (f"{loops} of {count}" for loops, count in ends.values())
    return [f"Greedy text ends in a loop in {greedy} texts, random draws in {random}."]


def _chance(report: dict[str, Any]) -> list[str]:
    """How many of the distances asked for training put where chance does not."""
    found = [
        side(pair[kind]["trained"], run["embeddings"]["frequent_pairs"][kind]["initial"])
        for run in report["runs"]
        if run["embeddings"] and run["embeddings"]["displacement"]
        for pair in run["embeddings"]["pairs"]
        for kind in ("euclidean", "cosine")
    ]
    if not found:
        return []
    outside = sum(where != "within" for where in found)
    return [
        f"Distances outside the range of 95% of frequent pairs before any training: {outside} of {len(found)}; chance "
        "alone would put 1 in 20 there."
    ]


def _settings(report: dict[str, Any]) -> list[str]:
    rows = report["distances"]
    if not rows:
        return []
    judged = [row["over_seeds"] for row in rows if row["over_seeds"]["low"] is not None]
    if not judged:
        return ["Whether distances depend on the setting cannot be told: that takes several seeds of each."]
    shown = sum(not part["low"] <= 0 <= part["high"] for part in judged)
    return [f"Differences of distances between settings that seeds do not explain: {shown} of {len(judged)}."]
