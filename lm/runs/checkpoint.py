"""All that a checkpoint holds, and how it comes back.

Plain containers and tensors: a checkpoint loads alone, on any machine, with `weights_only=True`.

| key | what it is |
|---|---|
| `state_dict` | weights, named below `model.`; where weights are averaged, the average |
| `optimizer_states`, `lr_schedulers`, `global_step`, `epoch`, `loops`, `callbacks` | where training is: Lightning's |
| `training` | counters, best validation, carried state, weights beside an average, RNG: `save_training` |
| `format`, `config`, `vocab`, `tokens`, `provenance`, `events` | the run, and how long its curves are: `Description` |
"""

from __future__ import annotations

import contextlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from lm.data.vocabulary import Vocab
from lm.models.interfaces import LanguageModel, State, detach
from lm.system.errors import UserError

FOLDER = "checkpoints"
BEST = "best.ckpt"
LAST = "last.ckpt"

FORMAT = 2
"""Raise it when what a checkpoint holds changes, so that one made before gets a sentence."""

PARTS = {"state_dict", "vocab", "config"}
TO_RESUME = {"training", "optimizer_states", "lr_schedulers", "global_step", "tokens", "events"}
COUNTERS = ("windows", "tokens", "updates", "epochs", "seconds")
"""How much training there was since the start of the run."""


@dataclass(frozen=True)
class Description:
    """What makes a checkpoint usable without its run's folder: put beside the weights."""

    vocab: Vocab
    config: dict[str, Any]
    tokens: dict[str, int]
    provenance: dict[str, Any]

    def put_into(self, checkpoint: dict[str, Any], events: dict[str, int]) -> None:
        """`events`: how many bytes of curves there are. What is written later is taken back on resuming from here."""
        checkpoint.update(
            format=FORMAT,
            config=self.config,
            vocab={"words": list(self.vocab.words), "unit": self.vocab.unit},
            tokens=self.tokens,
            provenance=self.provenance,
            events=events,
        )


class Average(Protocol):
    """Averaged weights, as `lm.training.optim.averages.WeightAverage` keeps them."""

    average: list[torch.Tensor]

    def in_place(self) -> contextlib.AbstractContextManager[None]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Training(Protocol):
    """What of the LightningModule a checkpoint holds beside that which Lightning saves; `COUNTERS` are attributes."""

    model: LanguageModel
    state: State
    best_epoch: int | None
    best_score: dict[str, Any]

    @property
    def average(self) -> Average: ...
    @property
    def device(self) -> torch.device: ...
    def state_dict(self) -> dict[str, Any]: ...


def save_training(module: Training, checkpoint: dict[str, Any]) -> None:
    """Everything without which a resumed run would not be the uninterrupted one, bit for bit."""
    if module.average.average:  # it is what a checkpoint is for; the weights behind it are with its state
        with module.average.in_place():
            checkpoint["state_dict"] = {name: part.clone() for name, part in module.state_dict().items()}
    checkpoint["training"] = {
        **{name: getattr(module, name) for name in COUNTERS},
        "best_epoch": module.best_epoch,
        "best_score": module.best_score,
        "average": module.average.state_dict(),
        "state": detach(module.state),
        **random_state(module.device),
    }


def restore_counters(module: Training, checkpoint: dict[str, Any]) -> None:
    """The part of it that is wanted as soon as a checkpoint is read."""
    saved = checkpoint["training"]
    for name in (*COUNTERS, "best_epoch", "best_score"):
        setattr(module, name, saved[name])


def restore_training(module: Training, saved: dict[str, Any], exact: bool) -> None:
    """The rest, once the model is on its device and training is about to begin. `exact`: it is in fp32."""
    like = module.model.embedding.weight
    # In mixed precision a state may be in either type, and goes on in it; fp32 kernels take fp32 only.
    kind = like.dtype if exact else None
    module.state = [tuple(part.to(like.device, kind) for part in layer) for layer in saved["state"]]
    module.average.load_state_dict(saved["average"])
    restore_random_state(saved)


def find(path: str | Path, prefer: str = BEST) -> Path:
    """A checkpoint file, or a run's folder: then its best checkpoint (or the one `prefer` names). Raises UserError."""
    path = Path(str(path)).expanduser()
    if path.is_file():
        return path
    for name in (prefer, LAST, BEST):
        for folder in (path / FOLDER, path):
            if (folder / name).is_file():
                return folder / name
    what = "holds no checkpoint" if path.is_dir() else "does not exist"
    jobs = sorted(path.glob(f"*/{FOLDER}")) if path.is_dir() else []
    if jobs:
        raise UserError(f"checkpoint: {path} holds several runs; name one of them: checkpoint={jobs[0].parent}")
    raise UserError(f"checkpoint: {path} {what}; name a checkpoint file or the folder of a run, as in runs/.../")


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's contents, on the CPU.

    Raises UserError for a file that is no checkpoint of this project or was damaged since, OSError for one that the
    system does not let be read.
    """
    with path.open("rb") as file, contextlib.suppress(zipfile.BadZipFile):
        whole = zipfile.ZipFile(file).testzip() is None  # torch's reader asks for no checksum
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True) if whole else {}
            refuse_other_formats(content, path)
            if content.keys() >= PARTS and content["config"].keys() >= {"model", "data"} and content["vocab"]["words"]:
                return content
        except (MemoryError, UserError):
            raise
        except Exception:  # whatever a foreign file makes torch's reader stumble over
            pass
    raise UserError(
        f"checkpoint: {path} cannot be read as one of this project's checkpoints (damaged, cut short, or made "
        "elsewhere); name another, or train again"
    )


def refuse_other_formats(content: dict[str, Any], path: Path) -> None:
    """Raise UserError for a checkpoint of this project's whose parts are those of another version."""
    if content.keys() >= PARTS and content.get("format") != FORMAT:
        made = content.get("provenance", {}).get("recurrent-lm", "0.1")
        raise UserError(
            f"checkpoint: {path} was made by version {made} of recurrent-lm, and this one cannot read it: train again, "
            "or use it with that version"
        )


def read_to_resume(path: Path) -> dict[str, Any]:
    """The same for training to resume from. Raises UserError also where only the model is there."""
    content = read(path)
    if lacking := sorted(TO_RESUME - content.keys()):
        raise UserError(
            f"checkpoint: {path} lacks what training needs to go on ({', '.join(lacking)}); begin a run from its "
            "weights with weights_from=PATH"
        )
    return content


def vocabulary(content: dict[str, Any]) -> Vocab:
    """The words that a checkpoint's `content` was trained with."""
    return Vocab(content["vocab"]["words"], content["vocab"]["unit"])


def load_weights(model: LanguageModel, content: dict[str, Any], file: Path) -> None:
    """Put the weights of a checkpoint's `content` into a model. Raises UserError if they do not fit."""
    prefix = "model."
    weights = {
        key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)
    }
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise UserError(
            f"checkpoint: the weights in {file} are not all finite numbers: its training diverged; name another, or "
            "train again with a lower optim.lr"
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        raise UserError(
            f"checkpoint: the weights in {file} do not fit the model that it describes; name another, or train again"
        ) from None


def random_state(device: torch.device) -> dict[str, Any]:
    """Where torch's random numbers have come to, on the CPU and on the run's graphics cards."""
    cards = range(torch.cuda.device_count()) if device.type == "cuda" else ()
    apple = {"mps_rng": torch.mps.get_rng_state()} if device.type == "mps" else {}
    return {"rng": torch.get_rng_state(), "cuda_rng": [torch.cuda.get_rng_state(i) for i in cards], **apple}


def restore_random_state(saved: dict[str, Any]) -> None:
    """Go on from what `random_state` gave."""
    torch.set_rng_state(saved["rng"])
    for i, rng in enumerate(saved["cuda_rng"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(rng, i)
    if "mps_rng" in saved and torch.backends.mps.is_available():
        torch.mps.set_rng_state(saved["mps_rng"])
