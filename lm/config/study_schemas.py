"""The settings of the commands that make reports and measurements; see `lm.config.schemas`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from lm.config.build import MISSING
from lm.config.free_text import Place, Places, Texts
from lm.config.setting_types import DataFrom, Group, OutFile, Trust
from lm.system.bounds import INSIDE, Above, AtLeast, Bounded, Count
from lm.system.errors import UserError


@dataclass
class ReportOfRuns(Bounded):
    runs: Annotated[Places, "folders of runs; a sweep's folder means all its jobs"] = MISSING
    out: Annotated[Place, "the folder for report.html, report.md, report.json and the plots"] = "comparison"
    brief: Annotated[bool, "one printed page of at most 450 words; only what it needs is measured"] = False
    table: Annotated[Place | None, "a .csv file: a row for each run, left-out ones too, with all its figures"] = None
    curves: Annotated[Place | None, "a .csv file: the curves of all runs, a row for each point"] = None


@dataclass
class Comparison(Bounded):
    """Settings of a comparison of runs, also of the comparison at the end of a sweep."""

    words: Annotated[Texts | None, "words whose pairs are measured; null: [army,taxpayer], or frequent words"] = None
    prompts: Annotated[Texts | None, "beginnings of samples; null: three beginnings from the test text"] = None
    perplexities: Annotated[
        list[Annotated[float, Above(1)]] | None, "validation perplexities to reach; null: from the runs' best"
    ] = None
    confidence: Annotated[float, INSIDE, "of every interval; of all comparisons of two groups together"] = 0.95
    resamples: Annotated[int, AtLeast(100), "of the bootstrap over segments of the test text"] = 4000
    pairs: Annotated[Place | None, "a file with two related words a line; null: twenty pairs of English news"] = None
    sequences: Annotated[Count, "texts drawn from each run, greedily and at each temperature"] = 20
    sample_words: Annotated[int, AtLeast(3), "words in each of these texts"] = 100
    temperatures: Annotated[
        list[Annotated[float, Above(0)]], "of the texts drawn at random; 1 is always among them"
    ] = field(default_factory=lambda: [0.5, 0.7, 1.0, 1.3])
    frequent: Annotated[int, AtLeast(3), "number of most frequent words for the comparison of embeddings"] = 1000
    neighbours: Annotated[Count, "nearest words of each word, compared between two embeddings"] = 10
    seed: Annotated[int, AtLeast(0), "seed of all random draws"] = 0
    data_from: DataFrom = None
    trust: Trust = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.words is not None and len(set(self.words)) < 2:
            raise UserError(f"words: two or more are needed for a distance; got {list(self.words)}")


@dataclass
class CompareConfig(Comparison, ReportOfRuns):
    """Settings of `scripts/compare.py`."""

    accelerator: Group = MISSING


@dataclass
class PlotConfig(Bounded):
    """Settings of `scripts/plot.py`."""

    runs: Annotated[Places, "folders of runs; a sweep's folder means all its jobs"] = MISSING
    out: Annotated[Place, "a file for the figure: .pdf, .svg or .png"] = MISSING
    x: Annotated[str, "windows, tokens, updates or seconds"] = "windows"
    y: Annotated[str, "a column of curves.csv in the runs' folders"] = "valid/perplexity"
    width: Annotated[float, Above(0), "inches; a column of a paper has some 3.3, a page 7"] = 5.0
    height: Annotated[float, Above(0), "inches"] = 3.2
    confidence: Annotated[float, INSIDE, "of the intervals over seeds"] = 0.95


@dataclass
class BenchmarkConfig(Bounded):
    """Settings of `scripts/benchmark.py`."""

    sections: Annotated[
        list[str] | None,
        "training, tokens, sampling, scoring, reading, startup, growth, cells, recipes, dynamic, ranks; null: all. "
        "Or large_text. A GPU has its own",
    ] = None
    accelerator: Group = MISSING
    dry: Annotated[bool, "everything on the processor with tiny sizes: to see that it runs"] = False
    rounds: Annotated[Count, "rounds; each program is timed once in each, after one warm-up round"] = 5
    windows: Annotated[Count, "training windows in a round"] = 4
    words: Annotated[Count, "words sampled in a round, in each sequence"] = 50
    sizes: Group = MISSING
    out: OutFile = None


@dataclass
class TBPTTReportConfig(Bounded):
    """Settings of `scripts/tbptt.py`."""

    out: Annotated[Place, "the folder for report.html, report.md with its pictures, and report.json"] = "tbptt-report"
    checkpoint: Annotated[Place | None, "a file or a run's folder: measure how far its gradients reach too"] = None
    data_from: DataFrom = None
    windows: Annotated[list[Count], "values of tbptt.windows, with windows of sizes.window tokens"] = field(
        default_factory=lambda: [1, 2, 4, 8, 16]
    )
    lengths: Annotated[list[Count], "tokens in a window, with tbptt.windows=1"] = field(
        default_factory=lambda: [10, 30, 60, 240]
    )
    streams: Annotated[list[Count], "windows in a stream, with tbptt.windows=1: does memory grow with it?"] = field(
        default_factory=lambda: [10, 100, 1000]
    )
    updates: Annotated[Count, "updates timed in each process, after one warm-up update"] = 4
    rounds: Annotated[Count, "processes that time each point"] = 3
    reach: Annotated[Count, "steps back that gradients are followed"] = 120
    places: Annotated[Count, "places in the text where gradients are followed, in up to 4 streams each"] = 8
    seed: Annotated[int, AtLeast(0), "seed of the untrained model"] = 0
    sizes: Group = MISSING
    accelerator: Group = MISSING
    trust: Trust = field(default_factory=list)
