"""The section on distances between words, and on how training changed the embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, variance

from lm.studies.comparison import drawing_words, sentences, sentences_words
from lm.studies.comparison.differences import DistanceDifference
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.run_figures import RunFigures
from lm.studies.comparison.sentences import number
from lm.studies.comparison.vectors import KINDS, Embeddings, Spread
from lm.studies.page import Block, Heading, Statements, Table, Text

PAIRS_DRAWN = 3
TOLD = 6


def distances(report: Figures) -> list[Block | None]:
    runs = _measured(report)
    if not runs:
        return []
    rows = []
    for run, own in runs:
        for pair in own.pairs:
            counts = " / ".join(f"{count:,}" for count in pair.counts)
            for kind in KINDS:
                found, frequent = pair.by(kind), own.frequent_pairs.by(kind)
                before = [number(found.initial), _range(frequent.initial)]
                trained = [number(found.trained), _range(frequent.trained)]
                named = [run.label, " - ".join(pair.words), counts, kind]
                rows.append([*named, *before, *trained, f"{100 * found.rank:.0f}%"])
    pairs = max(len(own.pairs) for _, own in runs)
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
            "A distance alone says little: untrained vectors have distances too. Compare each with its own value at "
            "initialisation, with those of other pairs, and with those of other seeds."
        ),
        Statements([*_said(runs), *_compared(report.distances)]),
        *(drawing_words.distances(report, at) for at in range(min(pairs, PAIRS_DRAWN))),
        Table(
            header,
            rows,
            "Before: at the run's own initialisation. Frequent pairs: the middle 95% of 5,000 random pairs of the most "
            "frequent words. Closer pairs: the share of those pairs that are closer together than this one.",
        ),
    ]


def _measured(report: Figures) -> list[tuple[RunFigures, Embeddings]]:
    """The runs whose embeddings were measured, each with the measurements."""
    return [(run, run.embeddings) for run in report.runs if run.embeddings]


def _compared(rows: Sequence[DistanceDifference]) -> list[str]:
    """Say how word distances differ between groups: all comparisons, or only those with a difference if many."""
    if len(rows) <= TOLD:
        return [sentences_words.distances(row) for row in rows]
    judged = [row for row in rows if row.over_seeds.low is not None]
    shown = [row for row in judged if row.over_seeds.excludes(0)]
    said = [sentences.tally("Distances", len(shown), len(judged), len(rows) - len(judged))]
    return said + [sentences_words.distances(row) for row in shown[:TOLD]]


def _said(runs: Sequence[tuple[RunFigures, Embeddings]]) -> list[str]:
    """For each word pair and kind of distance: where the distances are, and how far training changed them."""
    said = []
    for pair in dict.fromkeys(pair.words for _, own in runs for pair in own.pairs):
        for kind in KINDS:
            found = [
                (run, distance.trained, distance.initial, span)
                for run, own in runs
                for distance in (other.by(kind) for other in own.pairs if other.words == pair)
                if distance.initial is not None and (span := own.frequent_pairs.by(kind).initial)
            ]
            if not found:
                continue
            words = " - ".join(pair)
            places = [(run.label, trained, span) for run, trained, _, span in found]
            said.append(sentences_words.places(words, kind, places))
            moved = [abs(trained - initial) for _, trained, initial, _ in found]
            starts: dict[str, list[float]] = {}
            for run, _, initial, _ in found:
                starts.setdefault(run.group, []).append(initial)
            said.append(sentences_words.change(words, kind, mean(moved), _spread(list(starts.values()))))
    return said


def _spread(groups: list[list[float]]) -> float | None:
    """The standard deviation within groups, pooled over groups, whose means may differ; None if not known."""
    several = [values for values in groups if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    return math.sqrt(sum(variance(values) * (len(values) - 1) for values in several) / freedom) if freedom else None


def embeddings(report: Figures) -> list[Block | None]:
    runs = _measured(report)
    if not runs:
        return []
    rows = []
    for run, found in runs:
        moved = found.displacement
        share = f"{100 * moved.relative:.1f}%" if moved else "-"
        isotropy = [number(value, 3) for value in (found.isotropy.initial, found.isotropy.trained)]
        rows.append([run.label, number(moved.mean if moved else None, 3), share, *isotropy])
    labels = {run.name: run.label for run in report.runs}
    alike = [
        [
            " and ".join(labels[name] for name in row.runs),
            "seeds of one setting" if row.same_group else "settings",
            number(row.initial.neighbours if row.initial else None, 3),
            number(row.trained.neighbours, 3),
            number(row.initial.rank_correlation if row.initial else None, 3),
            number(row.trained.rank_correlation, 3),
            number(row.neighbours_by_chance, 2),
        ]
        for row in report.agreement
    ]
    blocks: list[Block | None] = [
        Heading("What did training do to the embeddings, and do the runs agree?"),
        Table(
            ["", "moved", "of initial length", "isotropy before", "isotropy trained"],
            rows,
            "Moved: mean euclidean distance of the frequent words from their initial vectors. Isotropy: participation "
            "ratio of the directions, 1 for a round cloud around zero.",
        ),
    ]
    if alike:
        blocks += [
            Text(
                "Runs with the same seed begin with the same embedding and agree for that reason alone. Agreement that "
                "comes from training is what seeds of one setting share beyond chance and beyond initialisation."
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
                f"Neighbours: share of each frequent word's {report.agreement[0].neighbours} nearest words "
                "that both runs have. Rank correlation: Spearman's, of the cosine distances of random frequent pairs.",
            ),
        ]
    return blocks


def _range(span: Spread | None) -> str:
    return "-" if span is None else f"{number(span.low, 3)} to {number(span.high, 3)}"
