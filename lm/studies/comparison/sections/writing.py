"""The section on generated text: samples side by side, and measures of their quality."""

from __future__ import annotations

from lm.studies.comparison import drawing_words, sentences_words
from lm.studies.comparison.checkpoint_measures import Continuation
from lm.studies.comparison.figures import Figures
from lm.studies.comparison.group_samples import GroupSamples
from lm.studies.comparison.quality import AgainstReal
from lm.studies.comparison.sections.shared import firsts, texts
from lm.studies.comparison.sentences import number, with_interval
from lm.studies.page import Block, Heading, Statements, Table, Text

TOLD = 3
"""Largest number of groups for which sentences tell surprisal and n-gram nats; of more, only the table does."""

OWN_TOKENS = (
    "A word here is a token of the run's own tokeniser. Figures of runs of different tokenisers cannot be compared."
)


def writing(report: Figures) -> list[Block | None]:
    first = [(run, run.quality) for run in firsts([run for run in report.runs if run.quality]) if run.quality]
    said = [sentences_words.loops(run.label, written.greedy, written.random) for run, written in first]
    for run, _ in first if len(first) <= TOLD else ():
        said += [_against_real(run.label, row) for row in report.against_real if row.run == run.name]
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
            "number of texts of each, with as much real text for comparison. “Random” without a temperature is "
            "temperature 1, at which words are drawn with the model's own probabilities. A model whose probabilities "
            "are right would find that text as surprising as real text. The differences in nats from real text have "
            f"an interval over texts (Welch's t, {100 * report.settings.confidence:g}% for all runs, samplers and "
            "judges together). It holds for the trained model that wrote them."
        ),
        Statements(said),
        Text(OWN_TOKENS) if report.ranking else None,
        *(drawing_words.sampling(report, text) for text in texts(report)),
        Table(
            [
                "",
                "text",
                "in a loop",
                "distinct-1",
                "distinct-2",
                "distinct-3",
                "<unk>",
                "surprisal",
                "n-gram nats",
            ],
            [[row.group, row.by, *_measures(row)] for row in report.samples],
            f"{count} texts of {words} words from each run, greedy and at each temperature, first words drawn "
            "uniformly, with the same random seed; counts are sums over seeds, the rest means. In a loop: texts that "
            "end in the same words three times or more. distinct-n: different n-grams / all n-grams in the texts of a "
            "run. Surprisal: nats per word under the run's own model, at temperature 1 whatever the text was drawn at. "
            "n-gram nats: per word, under an interpolated trigram model of the training text.",
        ),
        Heading("Samples from the same prompts", 3),
        *samples,
    ]


def _against_real(label: str, row: AgainstReal) -> str:
    say = sentences_words.judged if row.judge == "n-gram model" else sentences_words.surprising
    return say(f"{label}, {row.sampler}", row.written, row.real, row.over_texts)


def _measures(row: GroupSamples) -> list[str]:
    return [
        f"{row.loops} of {row.sequences}",
        number(row.distinct_1, 3),
        with_interval(row.distinct_2),
        number(row.distinct_3, 3),
        f"{100 * row.unk:.1f}%",
        with_interval(row.surprisal),
        with_interval(row.ngram_nats),
    ]


def _lacking(row: Continuation) -> str:
    return f"(its vocabulary lacks {', '.join(row.lacking)})"
