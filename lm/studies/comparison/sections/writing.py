"""What the models write: samples side by side, and figures of their quality."""

from __future__ import annotations

from typing import Any

from lm.studies.comparison import drawing, sentences
from lm.studies.comparison.sections.shared import firsts, texts
from lm.studies.comparison.sentences import number
from lm.studies.page import Block, Heading, Statements, Table, Text

TOLD = 3
"""Settings up to which the n-gram model's verdicts are put in words; of more, the table says them."""


def writing(report: dict[str, Any]) -> list[Block | None]:
    runs = [run for run in report["runs"] if run["quality"]]
    first = firsts(runs)
    header = [
        "",
        "sampler",
        "distinct-1",
        "distinct-2",
        "distinct-3",
        "<unk>",
        "n-gram nats",
        "in a loop",
        "words of the loop",
        "before it",
    ]
    rows = [
        [run["label"], sampler, *_quality(run["quality"][sampler])] for run in runs for sampler in ("greedy", "random")
    ]
    rows += [
        [
            "real test text" if len(texts(report)) == 1 else f"real test text of {', '.join(real['runs'])}",
            "-",
            *_quality(real),
        ]
        for real in report["real_text"]
        if "distinct_1" in real
    ]
    said = [sentences.loops(run["label"], run["quality"]["greedy"], run["quality"]["random"]) for run in first]
    for run in first if len(first) <= TOLD else ():
        real: dict[str, Any] = next((real for real in report["real_text"] if run["name"] in real["runs"]), {})
        for sampler in ("greedy", "random"):
            if run["quality"][sampler]["ngram_nats"] is not None and real.get("ngram_nats") is not None:
                said.append(sentences.judged(f"{run['label']}, {sampler}", run["quality"][sampler], real))
    samples: list[Block | None] = []
    for at, prompt in enumerate(report["prompts"]):
        shown = [(run["label"], run["samples"][at]) for run in first if run["samples"]]
        lines = [
            [name, *(row[key] if row[key] is not None else _lacking(row) for key in ("greedy", "random"))]
            for name, row in shown
        ]
        samples.append(Table(["", "greedy", "random"], lines, f"From “{prompt}” on", verbatim=True))
    words, count = report["settings"]["sample_words"], report["settings"]["sequences"]
    return [
        Heading("What do they write, greedily and at random?"),
        Text(
            "One greedy and one random text show that they differ, not how. Here the same number of texts of each is "
            "counted, beside real text of the same amount."
        ),
        Statements(said),
        Table(
            header,
            rows,
            f"{count} texts of {words} words by each sampler, their first word drawn uniformly, from the same random "
            "seed. distinct-n: different n-grams / all. n-gram nats: a word, under an interpolated trigram model of "
            "the training text. In a loop: texts that end in the same words three times or more; how many words, and "
            "how many others stand before the loop (medians).",
        ),
        *(drawing.quality(report, text) for text in texts(report)),
        Heading("The same beginnings", 3),
        *samples,
    ]


def _quality(figures: dict[str, Any]) -> list[str]:
    shares = [number(figures[f"distinct_{order}"], 3) for order in (1, 2, 3)]
    looped = f"{figures['loops']} of {figures['sequences']}"
    unk = f"{100 * figures['unk']:.1f}%"
    return [
        *shares,
        unk,
        number(figures["ngram_nats"], 3),
        looped,
        *("-" if figures[key] is None else f"{figures[key]:g}" for key in ("loop_period", "loop_begins")),
    ]


def _lacking(row: dict[str, Any]) -> str:
    return f"(its vocabulary lacks {', '.join(row['lacking'])})"
