"""The settings of each command that belong to no group: name, type, bounds, default, meaning, and if it is free text.

The command's root file in conf/ adds the groups. `--help` is made from this file and the root file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from lm.config.build import MISSING
from lm.config.free_text import Files, Free, Place, Text, Texts
from lm.config.setting_types import (
    Adapted,
    Checkpoint,
    Checkpoints,
    Data,
    DataFrom,
    Group,
    Mixed,
    NGramOrder,
    OutFile,
    Seed,
    Trust,
)
from lm.config.study_schemas import BenchmarkConfig, CompareConfig, PlotConfig, TBPTTReportConfig
from lm.system.bounds import PROBABILITY, AtLeast, Bounded, Count, Range

PROFILE = "profile"
"""The only setting of the group `trainer` that Lightning's Trainer does not have."""


def without_profile(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the group `trainer` without `profile`: all that are arguments of Lightning's Trainer."""
    return {key: value for key, value in trainer.items() if key != PROFILE}


@dataclass
class Accelerator(Bounded, group="accelerator"):
    """Settings of the group `accelerator`: where and in which precision to compute.

    `devices` is how many processes train on each of `nodes` machines, each on its own device: a number, or auto for all
    cards, or for as many as torchrun or srun has started. `recurrence` is how LSTMs train on a CPU: see
    `lm.models.cells.lstm.choose_recurrence`. `threads` is the number of the processor's threads that compute in each
    process (None: equal shares of the cores). The others are those of Lightning's Trainer.
    """

    accelerator: str
    devices: Any = 1
    nodes: Count = 1
    strategy: str = "auto"
    precision: Any = "auto"
    recurrence: Literal["auto", "own", "onednn"] = "auto"
    threads: Count | None = None

    @property
    def data_parallel(self) -> bool:
        """Whether the batch is to be shared by as many processes as there are."""
        return self.strategy == "ddp" or self.devices != 1 or self.nodes > 1


@dataclass
class TBPTT(Bounded, group="tbptt"):
    """Settings of truncated back-propagation through time: how many windows back gradients go, how windows are cut."""

    windows: Annotated[Count, "consecutive windows that gradients reach back over; one update for all of them"] = 1
    random_length: Annotated[bool, "random lengths around data.window; the learning rate scales with the length"] = (
        False
    )
    reset: Annotated[float, PROBABILITY, "chance that a stream's state returns to the first one before a window"] = 0.0


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
    weights_from: Annotated[
        Place | None, "start a new run from these weights: a checkpoint, a folder, a state_dict"
    ] = None
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

    checkpoint: Checkpoints = MISSING
    evaluator: Group = MISSING
    split: Annotated[str, "train, valid or test of the corpus that the model was trained on"] = "test"
    text: Annotated[Text | None, "a text to score instead, with its first word; a line end is <eos>"] = None
    text_file: Annotated[
        Place | None, "the same from a file, or standard input: -; a missing last line end is added"
    ] = None
    data: MovedFiles = field(default_factory=MovedFiles)
    data_from: DataFrom = None
    mixture: Mixed = "equal"
    ngram: NGramOrder = None
    adapted: Adapted = None
    per_token: Annotated[Place | None, "a file, a line for each token: word, nats, known (1 or 0); tabs between"] = None
    out: OutFile = None
    accelerator: Group = MISSING
    dry: Annotated[bool, "only the first words, on the processor: to see that a command runs"] = False
    trust: Trust = field(default_factory=list)


@dataclass
class ScoreConfig(Bounded):
    """Settings of `scripts/score.py`."""

    checkpoint: Checkpoints = MISSING
    file: Annotated[Place, "the sentences or pairs, one a line; standard input: -"] = MISSING
    format: Annotated[
        str,
        "sentences: each line by itself; pairs: JSON Lines with sentence_good and sentence_bad, or good<TAB>bad; "
        "nbest: lists of hypotheses, id<TAB>score<TAB>text",
    ] = "sentences"
    unit: Annotated[str, "bits, nats or log10, of surprisals and entropies; the summary has nats"] = "bits"
    each: Annotated[bool, "pairs: several checkpoints one by one, with the mean of their accuracies"] = False
    mixture: Mixed = "equal"
    ngram: NGramOrder = None
    data_from: DataFrom = None
    evaluator: Group = MISSING
    adapted: Adapted = None
    batch_size: Annotated[Count, "the most sentences read at a time; no figure depends on it"] = 256
    best: Annotated[Place | None, "nbest: a file for the chosen line of each list"] = None
    weight: Annotated[str, "nbest: of the model's log-probability; auto: the best one for `reference`"] = "1.0"
    penalty: Annotated[float, "nbest: added for each word; weight=auto finds it too"] = 0.0
    reference: Annotated[Place | None, "nbest: a file of the true texts, id<TAB>text, for word error rates"] = None
    out: Annotated[Place | None, "a file for the table; without it, standard output"] = None
    summary: Annotated[Place | None, "a file for the summary as JSON"] = None
    accelerator: Group = MISSING
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
class ExportConfig(Bounded):
    """Settings of `scripts/export.py`."""

    checkpoint: Checkpoint = MISSING
    out: Annotated[Place, "a new folder for the model"] = MISSING
    format: Annotated[str, "safetensors: a checkpoint for every command; onnx: one step, for other programs"] = (
        "safetensors"
    )
    trust: Trust = field(default_factory=list)


@dataclass
class DescribeConfig(Bounded):
    """Settings of `scripts/describe.py`."""

    data: Data = MISSING
    out: Annotated[Place | None, "a folder for description.json and description.png; null: only print"] = None


SCHEMAS: dict[str, type[Any]] = {
    "train": TrainConfig,
    "sample": SampleConfig,
    "evaluate": EvaluateConfig,
    "score": ScoreConfig,
    "distance": DistanceConfig,
    "export": ExportConfig,
    "describe": DescribeConfig,
    "compare": CompareConfig,
    "plot": PlotConfig,
    "benchmark": BenchmarkConfig,
    "tbptt": TBPTTReportConfig,
}
"""The schema of each command. The command's root file in conf/ has the same name as the command."""
