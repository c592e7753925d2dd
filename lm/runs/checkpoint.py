"""The contents of a checkpoint, and how it is saved and restored.

Plain containers and tensors: a checkpoint needs no other file and loads on any machine with `weights_only=True`.

| key | meaning |
|---|---|
| `state_dict` | weights, named below `model.`; the average if weights are averaged |
| `optimizer_states`, `lr_schedulers`, `global_step`, `epoch`, `loops`, `callbacks` | Lightning's training progress |
| `training` | counters, best validation, state of all columns, trained weights of an average, RNG: `save_training` |
| `format`, `config`, `vocab`, `tokens`, `provenance`, `events` | the run, and the size of its curves: `Description` |
"""

from __future__ import annotations

import contextlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from lm.data.vocabulary import Vocab
from lm.models.interfaces import LanguageModel, State, detach, joined, mapped
from lm.runs.exported import WEIGHTS, own_names, read_exported
from lm.runs.random_state import differing_random_state, random_state, restore_random_state
from lm.system.errors import UserError
from lm.system.files import whole
from lm.system.ranks import Ranks

FOLDER = "checkpoints"
BEST = "best.ckpt"
LAST = "last.ckpt"

FORMAT = 5
"""Version of a checkpoint's contents. Increase this number when they change: older checkpoints are then refused."""

PARTS = {"state_dict", "vocab", "config"}
TO_RESUME = {"training", "optimizer_states", "lr_schedulers", "global_step", "tokens", "events"}
COUNTERS = ("windows", "tokens", "updates", "epochs", "epoch_updates", "seconds")
"""Names of counters of training since the start of the run (`epoch_updates`: since the start of the epoch)."""


@dataclass(frozen=True)
class Description:
    """Facts about a run that are saved with its weights, so that a checkpoint can be used without the run's folder."""

    vocab: Vocab
    config: dict[str, Any]
    tokens: dict[str, int]
    provenance: dict[str, Any]

    def put_into(self, checkpoint: dict[str, Any], events: dict[str, int]) -> None:
        """Add the facts to a checkpoint, and `events`, the size in bytes of each file of curves.

        A run that resumes from this checkpoint cuts the files to these sizes.
        """
        checkpoint.update(
            format=FORMAT,
            config=self.config,
            vocab=self.vocab.as_dict(),
            tokens=self.tokens,
            provenance=self.provenance,
            events=events,
        )


class Average(Protocol):
    """Averaged weights, as `lm.training.optim.averages.WeightAverage` implements them."""

    average: list[torch.Tensor]

    def in_place(self) -> contextlib.AbstractContextManager[None]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Training(Protocol):
    """Parts of the LightningModule that Lightning does not save; it also has `COUNTERS` as attributes."""

    model: LanguageModel
    state: State
    rate: float
    best_epoch: int | None
    best_score: dict[str, Any]
    ranks: Ranks

    @property
    def average(self) -> Average: ...
    @property
    def device(self) -> torch.device: ...
    def state_dict(self) -> dict[str, Any]: ...


def save_training(module: Training, checkpoint: dict[str, Any]) -> None:
    """Put into the checkpoint all that a resumed run needs to equal an uninterrupted run, bit for bit.

    A checkpoint of several ranks is that of the whole batch, so that any number of ranks can resume it. All ranks call
    this.
    """
    # Copies: a state may be a view, and the whole window that it is a part of would be saved.
    own = {"state": mapped(detach(module.state), lambda part: part.clone().cpu()), **random_state(module.device)}
    first, *others = module.ranks.of_all(own)
    if module.average.average:  # a checkpoint's weights are the average; the trained weights are in the average's state
        with module.average.in_place():
            checkpoint["state_dict"] = {name: part.clone() for name, part in module.state_dict().items()}
    checkpoint["training"] = {
        **{name: getattr(module, name) for name in COUNTERS},
        "rate": module.rate,
        "best_epoch": module.best_epoch,
        "best_score": module.best_score,
        "average": module.average.state_dict(),
        **first,
        "state": joined([first["state"], *(other.pop("state") for other in others)]),
        "random_states": others,  # those of ranks 1, 2, ...
    }


def restore_counters(module: Training, checkpoint: dict[str, Any]) -> None:
    """Restore the counters and the best validation score, which are needed as soon as a checkpoint is read."""
    saved = checkpoint["training"]
    for name in (*COUNTERS, "rate", "best_epoch", "best_score"):
        setattr(module, name, saved[name])


def restore_training(module: Training, saved: dict[str, Any], exact: bool) -> None:
    """Restore carried state, weight average and RNG, once the model is on its device. `exact`: training is in fp32."""
    like = module.model.embedding.weight
    # In mixed precision a state keeps the type that it was saved in; fp32 kernels accept fp32 only.
    kind = like.dtype if exact else None

    def own(part: torch.Tensor) -> torch.Tensor:
        columns = part[module.ranks.share(len(part))]
        return columns.to(like.device, kind if part.is_floating_point() else None)

    module.state = mapped(saved["state"], own)
    module.average.load_state_dict(saved["average"])
    others = saved.get("random_states", [])
    rank = module.ranks.rank
    restore_random_state(others[rank - 1] if 0 < rank <= len(others) else saved)
    if rank > len(others):
        differing_random_state(module.ranks)


def find(path: str | Path, prefer: str = BEST, setting: str = "checkpoint") -> Path:
    """The checkpoint file at `path`: a file, or a run's folder (there `prefer` is looked for before others).

    Of an exported folder (`lm.runs.exported`) it is the file of its weights.

    Raises UserError, which names the `setting`, if no checkpoint is found.
    """
    path = Path(str(path)).expanduser()
    if path.is_file():
        return path
    for name in (prefer, LAST, BEST):
        for folder in (path / FOLDER, path):
            if (folder / name).is_file():
                return folder / name
    if (path / WEIGHTS).is_file():
        return path / WEIGHTS
    what = "holds no checkpoint" if path.is_dir() else "does not exist"
    jobs = sorted(path.glob(f"*/{FOLDER}")) if path.is_dir() else []
    if jobs:
        raise UserError(f"{setting}: {path} holds several runs; name one of them: {setting}={jobs[0].parent}")
    raise UserError(f"{setting}: {path} {what}; name a checkpoint file or the folder of a run, as in runs/.../")


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint's contents; tensors are on the CPU.

    Raises UserError for a file that is damaged or not a checkpoint of this project, OSError if it cannot be read.
    """
    if path.suffix == ".safetensors":
        exported = read_exported(path)
        refuse_other_formats(exported, path)
        return exported
    with path.open("rb") as file, contextlib.suppress(zipfile.BadZipFile):
        whole = zipfile.ZipFile(file).testzip() is None  # torch's reader checks no checksum
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True) if whole else {}
            refuse_other_formats(content, path)
            if (
                content.keys() >= PARTS
                and content["config"].keys() >= {"model", "data"}
                and content["vocab"]["tokeniser"]
            ):
                return content
        except (MemoryError, UserError):
            raise
        except Exception:  # torch's reader can fail in many ways on a foreign file
            pass
    raise UserError(
        f"checkpoint: {path} cannot be read as one of this project's checkpoints (damaged, cut short, or made "
        "elsewhere); name another, or train again"
    )


def refuse_other_formats(content: dict[str, Any], path: Path) -> None:
    """Raise UserError if `content` is a checkpoint of this project in another version's format."""
    if content.keys() >= PARTS and content.get("format") != FORMAT:
        made = content.get("provenance", {}).get("recurrent-lm", "0.1")
        raise UserError(
            f"checkpoint: {path} was made by version {made} of recurrent-lm, and this version cannot read it: train "
            "again, or use that version"
        )


def read_to_resume(path: Path) -> dict[str, Any]:
    """Read a checkpoint to resume from it. Raises UserError as `read` does, and if the training state is missing."""
    content = read(path)
    if lacking := sorted(TO_RESUME - content.keys()):
        raise UserError(
            f"checkpoint: {path} lacks what training needs to resume ({', '.join(lacking)}); start a new run from its "
            "weights with weights_from=PATH"
        )
    return content


def load_weights(model: LanguageModel, content: dict[str, Any], file: Path) -> None:
    """Load the weights in a checkpoint's `content` into a model. Raises UserError if they do not fit."""
    prefix = "model."
    weights = {
        key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)
    }
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise UserError(
            f"checkpoint: the weights in {file} are not all finite numbers: its training has probably diverged; name "
            "another, or train again with a lower optim.lr"
        )
    own = own_names(model)
    try:
        lacking, unknown = model.load_state_dict(weights, strict=False)  # a shared weight may be there once
    except RuntimeError:
        lacking, unknown = [*own], []
    if own & {*lacking} or unknown:
        raise UserError(
            f"checkpoint: the weights in {file} do not fit the model that it describes; name another, or train again"
        )


def save_adapted(model: LanguageModel, content: dict[str, Any], file: Path) -> None:
    """Write a checkpoint with a model's present weights, and of another's `content` what describes the run."""
    described = {key: content[key] for key in content.keys() - TO_RESUME - {"callbacks", "loops"}}
    described["state_dict"] = {f"model.{name}": part.cpu() for name, part in model.state_dict().items()}
    with whole(file, "free some space or choose another file") as aside:
        torch.save(described, aside)
