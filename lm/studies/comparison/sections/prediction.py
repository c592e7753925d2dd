"""Perplexity, convergence, and whether differences are more than chance."""

from __future__ import annotations

from typing import Any

from lm.studies.comparison import drawing, sentences
from lm.studies.comparison.sections.shared import texts
from lm.studies.comparison.sentences import estimate, number
from lm.studies.page import Block, Heading, Statements, Table, Text

TOLD = 6
"""Comparisons up to which each is put in words; of more, those that show a difference."""


def prediction(report: dict[str, Any]) -> list[Block | None]:
    groups = report["groups"]
    header = [
        "",
        "runs",
        "valid perplexity",
        "test perplexity",
        "test, free running",
        "updates",
        "training tokens",
        "tokens/s",
    ]
    rows = [
        [
            g["name"],
            str(len(g["runs"])),
            estimate(g["valid"]),
            _scored(g["test"]),
            _scored(g["test_free_running"]),
            _count(g["updates"]),
            _count(g["tokens"]),
            number(g["tokens_per_second"], 3),
        ]
        for g in groups
    ]
    axes = ("tokens", "updates", "seconds")
    reached = [
        [
            g["name"],
            number(row["perplexity"], 3),
            f"{row['reached']} of {row['of']}",
            *(_count(row[a]) if a != "seconds" else number(row[a], 3) for a in axes),
        ]
        for level in report["perplexities"]
        for g in groups
        for row in g["convergence"]
        if row["perplexity"] == level
    ]
    return [
        Heading("How well do they predict, and how fast did they get there?"),
        Table(
            header,
            rows,
            "Perplexity of the best checkpoint, reading true words unless it says free running (fed its own most "
            "probable words, from each window's true first word on); in brackets behind it the tokens scored.",
        ),
        Text(
            "Training loss falls for a model that learns by heart, too; what counts is text it was not trained on, "
            "and that of the best epoch, which need not be the last."
        ),
        Statements(_learning(report)),
        *(drawing.curves(report, which, text) for text in texts(report) for which in ("training", "validation")),
        Heading("Convergence", 3),
        Statements([sentences.reached(level, groups) for level in report["perplexities"]]),
        Table(
            ["", "perplexity", "runs that reached it", "tokens", "updates", "seconds of training"],
            reached,
            "At the first validation at or below the perplexity. Seconds leave validation out.",
        ),
    ]


def _learning(report: dict[str, Any]) -> list[str]:
    groups, said = report["groups"], []
    feedback = {group["forcing"]["feedback"] for group in groups}
    if len(feedback) > 1:
        said.append(
            f"The settings read different words while they train ({', '.join(sorted(feedback))}), so their training "
            "losses measure different tasks: only the validation curves may be laid over one another."
        )
    if len(texts(report)) > 1:
        known = [text for text in texts(report) if text is not None]
        said.append(
            "The settings were trained on different texts or vocabularies: their perplexities stand side by side in "
            "the table, but which is lower means nothing (see the end of this page)."
            if len(known) > 1
            else "The text that some of the settings were trained on is not known (the end of this page says why): "
            "whether their perplexities may be compared is for you to say."
        )
    said += [line for line in (_both_changed(groups),) if line]
    for group in groups:
        run = next(run for run in report["runs"] if run["group"] == group["name"])
        curve = run["curves"]["validation"]
        if curve and run["best_epoch"] and len(curve["values"]) > 1:
            best, last = run["valid"]["perplexity"], curve["values"][-1]
            said.append(sentences.overfitting(run["label"], best, run["best_epoch"], last, len(curve["values"])))
    return said


def _both_changed(groups: list[dict[str, Any]]) -> str | None:
    """A warning about comparisons that change what is fed back and the number of updates at once."""
    found = []
    for i, a in enumerate(groups):
        for b in groups[i + 1 :]:
            known = a["updates"] and b["updates"] and a["tokens"] == b["tokens"] and a["updates"] != b["updates"]
            if known and a["forcing"]["feedback"] != b["forcing"]["feedback"]:
                more, fewer = (a, b) if a["updates"] > b["updates"] else (b, a)
                ratio = number(more["updates"] / fewer["updates"], 3)
                found.append(f"{more['name']} with {fewer['name']} ({ratio} times the updates)")
    if not found:
        return None
    return (
        "On the same tokens, a comparison of these changes two things at once, what is fed back and how often the "
        f"weights change, and cannot tell which made the difference: {'; '.join(found)}."
    )


def chance(report: dict[str, Any]) -> list[Block | None]:
    rows = report["differences"]
    if not rows:
        return []
    level = f"{100 * rows[0]['confidence_of_all']:g}%"
    together = f", which hold for all {len(rows)} comparisons together" if len(rows) > 1 else ""
    table = []
    for row in rows:
        spans = [_interval(row[key]) for key in ("over_text", "over_seeds")]
        settled = "yes" if row["over_seeds"]["low"] is not None else "of these runs"
        shown = settled if row["shown"] else "no"
        table.append([" minus ".join(reversed(row["groups"])), number(row["nats"], 3), *spans, shown])
    told = rows if len(rows) <= TOLD else [row for row in rows if row["shown"]]
    return [
        Heading("Is the difference more than chance?"),
        Text(
            f"Nats of the same words of the test text, compared word by word, in {level} intervals{together}. Over the "
            f"text: segments of {rows[0]['segment_tokens']} tokens drawn anew {report['settings']['resamples']:,} "
            "times, the same ones for both (Bonferroni for several). Over seeds: Tukey's, their spread taken to be the "
            "same in every setting. A difference counts as shown where both leave out 0; what only the text's interval "
            "says holds for these trained models and not for their settings."
        ),
        Table(["", "nats a token", "over the text", "over seeds", "shown"], table),
        drawing.differences(report),
        Statements([sentences.difference(row) for row in told]),
    ]


def _interval(part: dict[str, Any]) -> str:
    return "-" if part["low"] is None else sentences.interval(part["low"], part["high"], 3)


def _scored(figure: dict[str, Any] | None) -> str:
    return f"{estimate(figure)} ({' / '.join(f'{n:,}' for n in figure['tokens'])})" if figure else "-"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
