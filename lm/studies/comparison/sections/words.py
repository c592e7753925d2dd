"""Distances between words, and what training did to the embeddings."""

from __future__ import annotations

import math
from statistics import mean, variance
from typing import Any

from lm.studies.comparison import drawing, sentences
from lm.studies.comparison.sentences import number
from lm.studies.page import Block, Heading, Statements, Table, Text

PAIRS_DRAWN = 3
KINDS = ("euclidean", "cosine")
TOLD = 6


def distances(report: dict[str, Any]) -> list[Block | None]:
    runs = [run for run in report["runs"] if run["embeddings"]]
    if not runs:
        return []
    rows = []
    for run in runs:
        for pair in run["embeddings"]["pairs"]:
            counts = " / ".join(f"{count:,}" for count in pair["counts"])
            for kind in KINDS:
                found, frequent = pair[kind], run["embeddings"]["frequent_pairs"][kind]
                ranges = [_range(frequent.get(when)) for when in ("initial", "trained")]
                rank = f"{100 * found['rank']:.0f}%"
                values = [number(found.get(when)) for when in ("initial", "trained")]
                named = [run["label"], " - ".join(pair["words"]), counts, kind]
                rows.append([*named, values[0], ranges[0], values[1], ranges[1], rank])
    pairs = max(len(run["embeddings"]["pairs"]) for run in runs)
    header = [
        "",
        "words",
        "times in training text",
        "distance",
        "before",
        "frequent pairs before",
        "trained",
        "frequent pairs trained",
        "closer pairs",
    ]
    return [
        Heading("How far apart are the words, and does it depend on the setting?"),
        Text(
            "A distance says little alone: vectors that were never trained have distances too. Each stands beside its "
            "own value at initialisation, beside those of other pairs, and beside those of other seeds."
        ),
        Statements([*_said(runs), *_compared(report["distances"])]),
        *(drawing.distances(report, at) for at in range(min(pairs, PAIRS_DRAWN))),
        Table(
            header,
            rows,
            "Before: at the run's own initialisation. Frequent pairs: the middle 95% of 5,000 random pairs of the most "
            "frequent words. Closer pairs: the share of those that lie closer together than this one.",
        ),
    ]


def _compared(rows: list[dict[str, Any]]) -> list[str]:
    """How distances differ between settings: every comparison in words, or of many those that show something."""
    if len(rows) <= TOLD:
        return [sentences.distances(row) for row in rows]
    judged = [row for row in rows if row["over_seeds"]["low"] is not None]
    shown = [row for row in judged if not row["over_seeds"]["low"] <= 0 <= row["over_seeds"]["high"]]
    said = [sentences.tally("Distances", len(shown), len(judged), len(rows) - len(judged))]
    return said + [sentences.distances(row) for row in shown[:TOLD]]


def _said(runs: list[dict[str, Any]]) -> list[str]:
    """A sentence on where each pair's distances lie, and one on how far training moved them."""
    said = []
    for pair in dict.fromkeys(tuple(pair["words"]) for run in runs for pair in run["embeddings"]["pairs"]):
        for kind in KINDS:
            found = [
                (run, own[kind], run["embeddings"]["frequent_pairs"][kind]["initial"])
                for run in runs
                for own in run["embeddings"]["pairs"]
                if tuple(own["words"]) == pair and "initial" in own[kind]
            ]
            if not found:
                continue
            words = " - ".join(pair)
            places = [(run["label"], own["trained"], span) for run, own, span in found]
            said.append(sentences.places(words, kind, places))
            moved = [abs(own["trained"] - own["initial"]) for _, own, _ in found]
            starts: dict[str, list[float]] = {}
            for run, own, _ in found:
                starts.setdefault(run["group"], []).append(own["initial"])
            said.append(sentences.change(words, kind, mean(moved), _spread(list(starts.values()))))
    return said


def _spread(groups: list[list[float]]) -> float | None:
    """The standard deviation within groups, pooled; settings may start differently, seeds of one do not."""
    several = [values for values in groups if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    return math.sqrt(sum(variance(values) * (len(values) - 1) for values in several) / freedom) if freedom else None


def embeddings(report: dict[str, Any]) -> list[Block | None]:
    runs = [run for run in report["runs"] if run["embeddings"]]
    if not runs:
        return []
    rows = []
    for run in runs:
        found = run["embeddings"]
        moved = found["displacement"]
        share = f"{100 * moved['relative']:.1f}%" if moved else "-"
        isotropy = [number(found["isotropy"].get(when), 3) for when in ("initial", "trained")]
        rows.append([run["label"], number(moved["mean"] if moved else None, 3), share, *isotropy])
    labels = {run["name"]: run["label"] for run in report["runs"]}
    alike = [
        [
            " and ".join(labels[name] for name in row["runs"]),
            "seeds of one setting" if row["same_group"] else "settings",
            *(
                number((row[when] or {}).get(key), 3)
                for key in ("neighbours", "rank_correlation")
                for when in ("initial", "trained")
            ),
            number(row["neighbours_by_chance"], 2),
        ]
        for row in report["agreement"]
    ]
    blocks: list[Block | None] = [
        Heading("What did training do to the embeddings, and do the runs agree?"),
        Table(
            ["", "moved", "of initial length", "isotropy before", "isotropy trained"],
            rows,
            "Moved: mean euclidean distance of the frequent words from where they began. Isotropy: participation ratio "
            "of the directions, 1 for a round cloud around zero.",
        ),
    ]
    if alike:
        blocks += [
            Text(
                "Runs with the same seed begin with the same embedding, and agree for that reason alone; what "
                "agreement training brings is what seeds of one setting share beyond chance and beyond their beginning."
            ),
            Table(
                [
                    "",
                    "differ in",
                    "neighbours before",
                    "neighbours trained",
                    "rank correlation before",
                    "rank correlation trained",
                    "neighbours by chance",
                ],
                alike,
                f"Neighbours: share of each frequent word's {report['agreement'][0]['neighbours']} nearest words "
                "that both have. Rank correlation: Spearman's, of the cosine distances of random frequent pairs.",
            ),
        ]
    return blocks


def _range(span: dict[str, float] | None) -> str:
    return "-" if span is None else f"{number(span['low'], 3)} to {number(span['high'], 3)}"
