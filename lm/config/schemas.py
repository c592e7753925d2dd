"""The settings of each command that belong to no group: name, type, bounds, default, meaning, and if it is free text.

The command's root file in conf/ adds the groups. `--help` is made from this file and the root file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from lm.config.build import MISSING
from lm.config.free_text import Files, Free, Place, Places, Text, Texts
from lm.config.setting_types import Checkpoint, Data, DataFrom, Group, OutFile, Seed, Trust
from lm.system.bounds import INSIDE, PROBABILITY, Above, AtLeast, Bounded, Count, Range
from lm.system.errors import UserError

PROFILE = "profile"
"""The only setting of the group `trainer` that Lightning's Trainer does not have."""


def without_profile(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the group `trainer` without `profile`: all that are arguments of Lightning's Trainer."""
    return {key: value for key, value in trainer.items() if key != PROFILE}


@dataclass
class TBPTT(Bounded, group="tbptt"):
    """Settings of truncated back-propagation through time: how many windows back gradients go, how windows are cut."""

    windows: Annotated[Count, "consecutive windows that gradients reach back over; one update for all of them"] = 1
    random_length: Annotated[bool, "random lengths around data.window; the learning rate scales with the length"] = (
        False
    )
    reset: Annotated[float, PROBABILITY, "probability of setting a stream's state to zero before a window"] = 0.0


@dataclass
class Regularisation(Bounded, group="regularisation"):
    """Settings of activation regularisation (Merity et al. 2017), which is added only to the training loss.

    Reported numbers do not include it.
    """

    activation: Annotated[
        float, AtLeast(0), "alpha: weight of the mean square of the last layer's output, after dropout"
    ] = 0.0
    temporal: Annotated[
        float, AtLeast(0), "beta: weight of the mean square of its change from step to step, before dropout"
    ] = 0.0


@dataclass
class FreeRunningTest(Bounded, group="free_running"):
    """Settings of a second test, in which the model reads its own words. free_running=null turns this test off."""

    streams: Annotated[Count, "streams read in parallel, for speed"] = 20
    limit: Annotated[Count | None, "windows of a split; null: all. The Penn Treebank's splits have fewer"] = 1000


@dataclass
class TrainConfig:
    """Settings of `train.py`: a dictionary for each group of conf/, and the settings that belong to no group."""

    data: Data = MISSING
    model: Group = MISSING
    init: Group = MISSING
    forcing: Group = MISSING
    optim: Group = MISSING
    sampler: Annotated[Group, Free(many=True, inside=("bad_words",))] = MISSING
    trainer: Group = MISSING
    accelerator: Group = MISSING
    callbacks: Group = MISSING
    logger: Group = MISSING
    tbptt: TBPTT = field(default_factory=TBPTT)
    regularisation: Regularisation = field(default_factory=Regularisation)
    free_running: FreeRunningTest | None = field(default_factory=FreeRunningTest)
    seed: Seed = 0
    checkpoint: Annotated[Place | None, "resume from this file, this run's folder, or `last` in hydra.run.dir"] = None
    weights_from: Annotated[Place | None, "start a new run from the weights of this file or run's folder"] = None
    dry: Annotated[bool, "two windows of everything with tiny sizes, on the processor: to see that it runs"] = False
    trust: Trust = field(default_factory=list)


@dataclass
class SampleConfig(Bounded):
    """Settings of `scripts/sample.py`."""

    checkpoint: Checkpoint = MISSING
    sampler: Annotated[Group, Free(many=True, inside=("bad_words",))] = MISSING
    prompt: Annotated[Text | None, "text to continue, printed too; without it: from a random word, not printed"] = None
    prompt_file: Annotated[Place | None, "the same from a file, or from standard input: -"] = None
    accelerator: Group = MISSING
    seed: Annotated[int, Range(least=0, most=2**63 - 1)] = 0
    trust: Trust = field(default_factory=list)


@dataclass
class MovedFiles:
    """The places of the run's text files, if they have moved; for `data=text`."""

    train: Files = None
    valid: Files = None
    test: Files = None


@dataclass
class EvaluateConfig(Bounded):
    """Settings of `scripts/evaluate.py`."""

    checkpoint: Checkpoint = MISSING
    evaluator: Group = MISSING
    split: Annotated[str, "train, valid or test of the corpus that the model was trained on"] = "test"
    text: Annotated[Text | None, "a text to score instead, with its first word; a line end is <eos>"] = None
    text_file: Annotated[
        Place | None, "the same from a file, or standard input: -; a missing last line end is added"
    ] = None
    data: MovedFiles = field(default_factory=MovedFiles)
    data_from: DataFrom = None
    per_token: Annotated[Place | None, "a file, a line for each token: word, nats, known (1 or 0); tabs between"] = None
    out: OutFile = None
    accelerator: Group = MISSING
    dry: Annotated[bool, "only the first words, on the processor: to see that a command runs"] = False
    trust: Trust = field(default_factory=list)


@dataclass
class DistanceConfig(Bounded):
    """Settings of `scripts/distance.py`."""

    checkpoint: Checkpoint = MISSING
    words: Annotated[Texts, "two or more; each pair is measured"] = MISSING
    words_file: Annotated[Place | None, "the same from a file, or from standard input: -"] = None
    neighbours: Annotated[int, AtLeast(0), "nearest words to list for each"] = 5
    data_from: DataFrom = None
    out: OutFile = None
    trust: Trust = field(default_factory=list)


@dataclass
class DescribeConfig(Bounded):
    """Settings of `scripts/describe.py`."""

    data: Data = MISSING
    out: Annotated[Place | None, "a folder for description.json and description.png; null: only print"] = None


@dataclass
class ReportOfRuns(Bounded):
    runs: Annotated[Places, "folders of runs; a sweep's folder means all its jobs"] = MISSING
    out: Annotated[Place, "the folder for report.html, report.md, report.json and the plots"] = "comparison"


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
    sequences: Annotated[Count, "texts drawn from each run, by each sampler, for the quality of samples"] = 20
    sample_words: Annotated[int, AtLeast(3), "words in each of these texts"] = 100
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
class BenchmarkConfig(Bounded):
    """Settings of `scripts/benchmark.py`."""

    sections: Annotated[
        list[str] | None,
        "training, tokens, sampling, reading, startup, growth; null: all these. Or large_text. A GPU has its own",
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


SCHEMAS: dict[str, type[Any]] = {
    "train": TrainConfig,
    "sample": SampleConfig,
    "evaluate": EvaluateConfig,
    "distance": DistanceConfig,
    "describe": DescribeConfig,
    "compare": CompareConfig,
    "benchmark": BenchmarkConfig,
    "tbptt": TBPTTReportConfig,
}
"""The schema of each command. The command's root file in conf/ has the same name as the command."""
