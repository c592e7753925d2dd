"""Checkpoints: plain containers and tensors, loadable alone, on any machine, with `weights_only=True`."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lm.build import build
from lm.data.vocab import Vocab
from lm.errors import UserError
from lm.init import Random
from lm.models.base import LanguageModel
from lm.trust import refuse_foreign

FOLDER = "checkpoints"
BEST = "best.ckpt"
LAST = "last.ckpt"
PARTS = {"state_dict", "vocab", "config"}
TO_GO_ON = {"training", "optimizer_states", "lr_schedulers", "global_step", "tokens", "events"}
INITIAL = "initial_embedding.pt"  # in a run's folder: the embedding before training
EVENTS = "events.out.tfevents.*"  # TensorBoard's files in a run's folder


@dataclass(frozen=True)
class Trained:
    """What a checkpoint holds: the model in evaluation mode, its vocabulary, and the run's whole configuration."""

    model: LanguageModel
    vocab: Vocab
    config: dict[str, Any]
    path: Path
    trusted: tuple[str, ...] = ()

    def untrained(self) -> LanguageModel:
        """The same model as its training found it, in evaluation mode; of a run with `weights_from`, as it was drawn.

        What counts (`init`) reads the training text again. Raises UserError if that has changed.
        """
        init: Random = _build(self.config, "init", self.trusted) if "init" in self.config else Random()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config["seed"])
            model = _model(self.config, self.vocab, self.trusted)
            if init != Random():
                init.apply(model, corpus(self).ids["train"])
            return model.eval()


def describe_run(vocab: Vocab, config: dict[str, Any]) -> dict[str, Any]:
    """What is put into a checkpoint beside the weights, so that it can be used without the run's folder."""
    return {"vocab": {"words": list(vocab.words), "unit": vocab.unit}, "config": config}


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
            if content.keys() >= PARTS and content["config"].keys() >= {"model", "data"} and content["vocab"]["words"]:
                return content
        except MemoryError:
            raise
        except Exception:  # whatever a foreign file makes torch's reader stumble over
            pass
    raise UserError(
        f"checkpoint: {path} cannot be read as one of this project's checkpoints (damaged, cut short, or made "
        "elsewhere); name another, or train again"
    )


def read_to_go_on(path: Path) -> dict[str, Any]:
    """The same for training to go on with. Raises UserError also where only the model is there."""
    content = read(path)
    if lacking := sorted(TO_GO_ON - content.keys()):
        raise UserError(
            f"checkpoint: {path} lacks what training needs to go on ({', '.join(lacking)}); begin a run from its "
            "weights with weights_from=PATH"
        )
    return content


def load(path: str | Path, trusted: Iterable[str] = ()) -> Trained:
    """Rebuild the model of a checkpoint (see `find` for what `path` may be).

    `trusted` names classes and functions that it may run beside this project's own, as `package.module.Name`. Raises
    UserError.
    """
    file = find(path)
    content = read(file)
    vocab = vocabulary(content)
    trusted = tuple(trusted)
    model = _model(content["config"], vocab, trusted)
    load_weights(model, content, file)
    model.eval()
    return Trained(model, vocab, content["config"], file, trusted)


def vocabulary(content: dict[str, Any]) -> Vocab:
    """The words that a checkpoint's `content` was trained with."""
    return Vocab(content["vocab"]["words"], content["vocab"]["unit"])


def _model(config: dict[str, Any], vocab: Vocab, trusted: Collection[str]) -> LanguageModel:
    model: LanguageModel = _build(config, "model", trusted, {"vocab_size": len(vocab)})
    return model


def _build(
    config: dict[str, Any], group: str, trusted: Collection[str], available: dict[str, Any] | None = None
) -> Any:
    refuse_foreign(config[group], group, trusted)
    return build(config[group], group, available)


def corpus(trained: Trained) -> Any:
    """The texts that a checkpoint was trained on: `vocab`, and `ids` of each split. UserError if they changed."""
    data = _build(trained.config, "data", trained.trusted)
    if data.vocab != trained.vocab:
        raise UserError(
            f"the text that {trained.path} was trained on has changed since: its vocabulary is another one now. "
            "Restore the files, or score a text with text_file=FILE"
        )
    return data


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
