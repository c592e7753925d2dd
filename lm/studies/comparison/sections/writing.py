"""The section on generated text: samples side by side, and measures of their quality."""

from __future__ import annotations

from lm.studies.comparison import drawing, sentences
from lm.studies.comparison.checkpoint_measures import Continuation
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.quality import SAMPLERS, Quality
from lm.studies.comparison.sections.shared import firsts, texts
from lm.studies.comparison.sentences import number
from lm.studies.page import Block, Heading, Statements, Table, Text

TOLD = 3
"""Largest number of groups for which sentences tell the n-gram nats; if there are more, only the table does."""

OWN_TOKENS = (
    "A word here is a token of the run's own tokeniser. Figures of runs of different tokenisers cannot be compared."
)


def writing(report: Figures) -> list[Block | None]:
    first = [(run, run.quality) for run in firsts([run for run in report.runs if run.quality]) if run.quality]
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
        [run.label, sampler, *_quality(run.quality.by(sampler))]
        for run in report.runs
        if run.quality
        for sampler in SAMPLERS
    ]
    rows += [
        [
            "real test text" if len(texts(report)) == 1 else f"real test text of {', '.join(real.runs)}",
            "-",
            *_quality(real.quality),
        ]
        for real in report.real_text
        if real.quality
    ]
    said = [sentences.loops(run.label, written.greedy, written.random) for run, written in first]
    against = {(row.run, row.sampler): row.over_texts for row in report.against_real}
    for run, written in first if len(first) <= TOLD else ():
        real_nats = next((r.quality.ngram_nats for r in report.real_text if run.name in r.runs and r.quality), None)
        for sampler in SAMPLERS:
            nats = written.by(sampler).ngram_nats
            if nats is not None and real_nats is not None:
                difference = against[run.name, sampler]
                said.append(sentences.judged(f"{run.label}, {sampler}", nats, real_nats, difference))
    samples: list[Block | None] = []
    for at, prompt in enumerate(report.prompts):
        shown = [(run.label, run.samples[at]) for run, _ in first if run.samples]
        lines = [
            [name, *(_lacking(row) if text is None else text for text in (row.greedy, row.random))]
            for name, row in shown
        ]
        samples.append(Table(["", "greedy", "random"], lines, f"Continuations of “{prompt}”", verbatim=True))
    words, count = report.settings.sample_words, report.settings.sequences
    return [
        Heading("What do they write, greedily and at random?"),
        Text(
            "One greedy and one random text can show that they differ, but not how. These figures are over the same "
            "number of texts of each, with as much real text for comparison. The difference in n-gram nats from real "
            f"text has an interval over texts (Welch's t, {100 * report.settings.confidence:g}% for all runs and "
            "samplers together). It holds for the trained model that wrote them. The other figures here have no "
            "interval: they do not show that one is larger."
        ),
        Statements(said),
        Text(OWN_TOKENS) if report.ranking else None,
        Table(
            header,
            rows,
            f"{count} texts of {words} words by each sampler, first words drawn uniformly, with the same random seed. "
            "distinct-n: different n-grams / all n-grams. n-gram nats: per word, under an interpolated trigram model "
            "of the training text. In a loop: texts that end in the same words three times or more; then the words of "
            "the loop, and the words before it (medians).",
        ),
        *(drawing.quality(report, text) for text in texts(report)),
        Heading("Samples from the same prompts", 3),
        *samples,
    ]


def _quality(figures: Quality) -> list[str]:
    shares = [number(share, 3) for share in figures.distinct]
    looped = f"{figures.loops} of {figures.sequences}"
    unk = f"{100 * figures.unk:.1f}%"
    return [
        *shares,
        unk,
        number(figures.ngram_nats, 3),
        looped,
        *("-" if words is None else f"{words:g}" for words in (figures.loop_period, figures.loop_begins)),
    ]


def _lacking(row: Continuation) -> str:
    return f"(its vocabulary lacks {', '.join(row.lacking)})"
