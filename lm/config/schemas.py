"""Each command's own settings, in one place: name, type, bounds, default, what it means, and whether it is free text.

A root file of conf/ adds the groups to choose from. `--help` is made of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin

from lm.config.build import MISSING
from lm.system.bounds import INSIDE, PROBABILITY, Above, AtLeast, Bounded, Count, Range
from lm.system.errors import UserError


@dataclass(frozen=True)
class Free:
    """Marks a setting that is taken as typed, whatever Hydra's grammar makes of its signs; or such ones of a group."""

    texts: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()


Text = Annotated[str, Free()]
Texts = list[Text]
Trust = Annotated[list[str], "classes of your own that a checkpoint may run: [package.module.Name]"]
Checkpoint = Annotated[Text, "a checkpoint file, or a run's folder: then its best one"]
OutFile = Annotated[Text | None, "a file for the figures as JSON"]
Seed = Annotated[int, Range(least=0, most=2**32 - 1)]
Group = Any


def is_group(hint: Any) -> bool:
    """Whether an annotation is that of a group of conf/, or of an object that a file of conf/ describes."""
    return hint is Group or (get_origin(hint) is Annotated and hint.__origin__ is Group)


def meaning(hint: Any) -> str:
    """What an annotation says of its setting, for people."""
    said = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, str)]
    return said[-1] if said else ""


def free(hint: Any) -> Free | None:
    """The mark of free text in an annotation, inside a union or a list too."""
    own = next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Free)), None)
    return own or next((found for part in get_args(hint) if (found := free(part))), None)


PROFILE = "profile"
"""The one setting of the group `trainer` that Lightning's Trainer does not know."""


def without_profile(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that Lightning's Trainer knows."""
    return {key: value for key, value in trainer.items() if key != PROFILE}


@dataclass
class TBPTT(Bounded, group="tbptt"):
    """Truncated back-propagation through time: how many windows gradients reach back over, and how windows are cut."""

    windows: Annotated[Count, "consecutive windows that gradients reach back over; one update for all of them"] = 1
    random_length: Annotated[bool, "lengths around data.window, an update's rate in proportion to its length"] = False
    reset: Annotated[float, PROBABILITY, "of putting a stream's carried state to zero before a window"] = 0.0


@dataclass
class Regularisation(Bounded, group="regularisation"):
    """Activation regularisation (Merity et al. 2017), which joins the loss that is minimised and no figure."""

    activation: Annotated[
        float, AtLeast(0), "alpha: times the mean square of the last layer's output, as dropout leaves it"
    ] = 0.0
    temporal: Annotated[
        float, AtLeast(0), "beta: times the mean square of its change from step to step, before dropout"
    ] = 0.0


@dataclass
class FreeRunningTest(Bounded, group="free_running"):
    """The test once more, the model fed its own words; free_running=null: not measured."""

    streams: Annotated[Count, "read side by side, for speed"] = 20
    limit: Annotated[Count | None, "windows of a split; null: all. The Penn Treebank's splits have fewer"] = 1000


@dataclass
class TrainConfig:
    """`train.py`: a dictionary for each group of conf/, and the settings that belong to none."""

    data: Annotated[Group, Free(texts=("train", "valid", "test"))] = MISSING
    model: Group = MISSING
    init: Group = MISSING
    forcing: Group = MISSING
    optim: Group = MISSING
    sampler: Annotated[Group, Free(lists=("bad_words",))] = MISSING
    trainer: Group = MISSING
    accelerator: Group = MISSING
    callbacks: Group = MISSING
    logger: Group = MISSING
    tbptt: TBPTT = field(default_factory=TBPTT)
    regularisation: Regularisation = field(default_factory=Regularisation)
    free_running: FreeRunningTest | None = field(default_factory=FreeRunningTest)
    seed: Seed = 0
    checkpoint: Annotated[Text | None, "a file, a run's folder, or `last` in hydra.run.dir: resume from there"] = None
    weights_from: Annotated[Text | None, "a file or a run's folder: a new run that starts from its weights"] = None
    dry: Annotated[bool, "two windows of everything with tiny sizes, on the processor: to see that it runs"] = False
    trust: Trust = field(default_factory=list)


@dataclass
class SampleConfig(Bounded):
    """`scripts/sample.py`."""

    checkpoint: Checkpoint = MISSING
    sampler: Annotated[Group, Free(lists=("bad_words",))] = MISSING
    prompt: Annotated[Text | None, "text to continue, part of what is printed; null: a word drawn, not printed"] = None
    prompt_file: Annotated[Text | None, "the same from a file, or from standard input: -"] = None
    accelerator: Group = MISSING
    seed: Annotated[int, Range(least=0, most=2**63 - 1)] = 0
    trust: Trust = field(default_factory=list)


@dataclass
class EvaluateConfig(Bounded):
    """`scripts/evaluate.py`."""

    checkpoint: Checkpoint = MISSING
    evaluator: Group = MISSING
    split: Annotated[str, "train, valid or test of the corpus that the model was trained on"] = "test"
    text: Annotated[Text | None, "a text to score instead, from its first word on; a line break is <eos>"] = None
    text_file: Annotated[Text | None, "the same from a file, or from standard input: -"] = None
    per_token: Annotated[Text | None, "a file for one line a token: word, tab, nats"] = None
    out: OutFile = None
    accelerator: Group = MISSING
    dry: Annotated[bool, "the first words only, on the processor: to see that a command runs"] = False
    trust: Trust = field(default_factory=list)


@dataclass
class DistanceConfig(Bounded):
    """`scripts/distance.py`."""

    checkpoint: Checkpoint = MISSING
    words: Annotated[Texts, "two or more; each pair is measured"] = MISSING
    words_file: Annotated[Text | None, "the same from a file, or from standard input: -"] = None
    neighbours: Annotated[int, AtLeast(0), "nearest words to list for each"] = 5
    out: OutFile = None
    trust: Trust = field(default_factory=list)


@dataclass
class ReportOfRuns(Bounded):
    runs: Annotated[Texts, "folders of runs; a sweep's folder is that of all its jobs"] = MISSING
    out: Annotated[Text, "the folder for report.html, report.md, report.json and the plots"] = "comparison"


@dataclass
class Comparison(Bounded):
    """What a comparison asks for, also the one at a sweep's end."""

    words: Annotated[Texts | None, "[army,taxpayer]: pairs to measure; null: these, or frequent words"] = None
    prompts: Annotated[Texts | None, "what samples begin with; null: three beginnings out of the test text"] = None
    perplexities: Annotated[
        list[Annotated[float, Above(1)]] | None, "validation perplexities to be reached; null: from the runs' best"
    ] = None
    confidence: Annotated[float, INSIDE, "of every interval; of all comparisons of two groups together"] = 0.95
    resamples: Annotated[int, AtLeast(100), "of the bootstrap over segments of the test text"] = 4000
    sequences: Annotated[Count, "texts drawn from each run, by each sampler, for the quality of samples"] = 20
    sample_words: Annotated[int, AtLeast(3), "of each of them"] = 100
    frequent: Annotated[int, AtLeast(3), "words, the most frequent, that embeddings are compared over"] = 1000
    neighbours: Annotated[Count, "nearest words of each that two embeddings may share"] = 10
    seed: Annotated[int, AtLeast(0), "of everything drawn"] = 0
    trust: Trust = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.words is not None and len(set(self.words)) < 2:
            raise UserError(f"words: two or more are needed for a distance; got {list(self.words)}")


@dataclass
class CompareConfig(Comparison, ReportOfRuns):
    """`scripts/compare.py`."""

    accelerator: Group = MISSING


@dataclass
class BenchmarkConfig(Bounded):
    """`scripts/benchmark.py`."""

    sections: Annotated[
        list[str] | None, "training, tokens, sampling, reading, startup, growth; null: all. A card has its own"
    ] = None
    accelerator: Group = MISSING
    dry: Annotated[bool, "everything on the processor with tiny sizes: to see that it runs"] = False
    rounds: Annotated[Count, "each rival is timed once a round; one more round before is not counted"] = 5
    windows: Annotated[Count, "training windows a round"] = 4
    words: Annotated[Count, "words sampled a round, in each sequence"] = 50
    sizes: Group = MISSING
    out: OutFile = None


@dataclass
class TBPTTReportConfig(Bounded):
    """`scripts/tbptt.py`."""

    out: Annotated[Text, "the folder for report.html, report.md with its pictures, and report.json"] = "tbptt-report"
    checkpoint: Annotated[Text | None, "a file or a run's folder: how far gradients reach in that model too"] = None
    windows: Annotated[list[Count], "values of tbptt.windows, with windows of sizes.window tokens"] = field(
        default_factory=lambda: [1, 2, 4, 8, 16]
    )
    lengths: Annotated[list[Count], "tokens in a window, with tbptt.windows=1"] = field(
        default_factory=lambda: [10, 30, 60, 240]
    )
    streams: Annotated[list[Count], "windows in a stream, with tbptt.windows=1: does memory grow with it?"] = field(
        default_factory=lambda: [10, 100, 1000]
    )
    updates: Annotated[Count, "timed in each process; one more before them is not"] = 4
    rounds: Annotated[Count, "processes that time each point"] = 3
    reach: Annotated[Count, "steps back that gradients are followed"] = 120
    places: Annotated[Count, "of the text where that is done, in up to 4 streams each"] = 8
    seed: Annotated[int, AtLeast(0), "of the untrained model"] = 0
    sizes: Group = MISSING
    accelerator: Group = MISSING
    trust: Trust = field(default_factory=list)


SCHEMAS: dict[str, type[Any]] = {
    "train": TrainConfig,
    "sample": SampleConfig,
    "evaluate": EvaluateConfig,
    "distance": DistanceConfig,
    "compare": CompareConfig,
    "benchmark": BenchmarkConfig,
    "tbptt": TBPTTReportConfig,
}
"""By command, which is also the name of its root file in conf/."""
