"""The numbers of one run in a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm.runs.run_folder import EVENTS
from lm.studies.comparison import curves
from lm.studies.comparison.checkpoint_measures import Continuation
from lm.studies.comparison.curves import LearningCurve, Reached
from lm.studies.comparison.groups import Group
from lm.studies.comparison.measuring import Known, Refusal, Refused
from lm.studies.comparison.quality import SampleQuality
from lm.studies.comparison.reading import Run
from lm.studies.comparison.related import Relatedness
from lm.studies.comparison.vectors import Embeddings


@dataclass(frozen=True)
class Files:
    """The files with a run's results; None for a file that is missing or unusable."""

    result: Path
    events: list[Path]
    checkpoint: Path | None
    nats: Path | None


@dataclass(frozen=True)
class Forcing:
    """How a run was trained: what words the model read, and when its weights changed (see lm/training/forcing)."""

    feedback: str | None
    update: str | None


@dataclass(frozen=True)
class Curves:
    """The learning curves of a run; None if it has no TensorBoard events."""

    training: LearningCurve | None
    validation: LearningCurve | None


@dataclass(frozen=True)
class Unknown:
    """How many tokens are out of vocabulary, read as `<unk>`: of the training text, and of those that a score is over.

    None where they were not counted: there is no such score, or it is from an earlier version.
    """

    train: int | None
    valid: int | None
    valid_free_running: int | None
    test: int | None
    test_free_running: int | None


@dataclass(frozen=True)
class RunFigures:
    """A run's numbers: from its folder, and measured on its checkpoint (None if not available)."""

    name: str
    label: str  # its name on the page
    group: str
    seed: int
    folder: Path
    files: Files
    overrides: list[str]
    forcing: Forcing
    valid: dict[str, Any]  # a score, as result.json holds it (lm/runs/result.py); `test` and `training` too
    test: dict[str, Any]
    unknown: Unknown
    best_epoch: int | None
    training: dict[str, Any]
    tokens_per_second: float | None
    vocabulary: int | None  # words
    parameters: int | None  # weights
    provenance: dict[str, Any]  # as result.json holds it
    text: str | None  # equal for runs on the same text
    curves: Curves
    convergence: list[Reached]
    nats_per_token: float | None
    samples: list[Continuation] | None  # one for each prompt
    quality: SampleQuality | None
    embeddings: Embeddings | None
    relatedness: Relatedness | None

    @property
    def valid_perplexity(self) -> float | None:
        return _figure(self.valid, "perplexity")

    @property
    def training_seconds(self) -> float | None:
        return _figure(self.training, "seconds")


def _figure(part: dict[str, Any], name: str) -> float | None:
    found: float | None = part.get(name)
    return found


def _unknown(result: dict[str, Any]) -> Unknown:
    train, valid, test = (result.get(split) or {} for split in ("train", "valid", "test"))
    own = [score.get("free_running") or {} for score in (valid, test)]
    return Unknown(*(score.get("unknown") for score in (train, valid, own[0], test, own[1])))


def run_figures(one: Known, group: Group, wanted: list[float], refused: list[Refused]) -> RunFigures:
    """Collect the numbers of a measured run of `group`; `wanted` holds the perplexities to reach."""
    run, result = one.run, one.run.result
    valid = curves.validation(run)
    refusal = Refusal(refused, run.name)
    if not run.curves:
        refusal.note("curves and convergence", "there are no TensorBoard events in its folder")
    elif valid is None:
        refusal.note("convergence", "its events hold no validation")
    elif valid.seconds is None:
        refusal.note("curves over seconds", "the run did not log its training seconds")
    forcing = run.config["forcing"]
    events = sorted(run.folder.glob(EVENTS))
    return RunFigures(
        name=run.name,
        label=_label(run, group),
        group=group.name,
        seed=run.seed,
        folder=run.folder,
        files=Files(run.folder / "result.json", events, one.checkpoint, one.nats_file),
        overrides=result.get("overrides") or [],
        forcing=Forcing(forcing.get("feedback"), forcing.get("update")),
        valid=result["valid"],
        test=result["test"],
        unknown=_unknown(result),
        best_epoch=result["best"].get("epoch"),
        training=result.get("training") or {},
        tokens_per_second=result.get("tokens_per_second"),
        vocabulary=len(one.vocab) if one.vocab else result.get("vocabulary"),
        parameters=result.get("parameters"),
        provenance=result.get("provenance") or {},
        text=one.text.key if one.text else None,
        curves=Curves(curves.training(run), valid),
        convergence=curves.convergence(valid, wanted),
        nats_per_token=float(one.nats.mean()) if one.nats is not None else None,
        samples=one.samples,
        quality=one.quality,
        embeddings=one.embeddings,
        relatedness=one.relatedness,
    )


def _label(run: Run, group: Group) -> str:
    """A run's name on the page: the name of its group, with the seed if the group has several seeds. If the group is
    named after a folder, the run's name is that of the run's own folder."""
    if group.name == run.name or group.name.startswith(f"{group.runs[0].name} and "):
        return run.name
    return group.name if len(group.runs) == 1 else f"{group.name}, seed {run.seed}"
