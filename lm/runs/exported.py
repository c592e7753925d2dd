"""A model to ship: a folder that holds its weights, vocabulary, configuration and model card, and nothing else.

| file | holds |
|---|---|
| `model.safetensors` | the weights, by the model's own names; a weight that two parts share is there once |
| `vocab.json` | the words by id, and the tokeniser |
| `tokenizer.json` | the tokeniser's own file, if it is one of Hugging Face's `tokenizers` |
| `config.json` | the run's settings that describe the model, its text and its training; versions |
| `README.md` | the model card: what it is, its figures, and how they were measured |

There is no optimiser state, and nothing of the machine: no path but the names of text files, no user, no processor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from lm.config.build import TARGET
from lm.models.interfaces import LanguageModel
from lm.system.errors import UserError
from lm.system.files import ANOTHER_FOLDER, whole, write_json, write_text

WEIGHTS, VOCAB, TOKENIZER, CONFIG, CARD = (
    "model.safetensors",
    "vocab.json",
    "tokenizer.json",
    "config.json",
    "README.md",
)
KEPT = ("data", "model", "init", "forcing", "optim", "tbptt", "regularisation", "seed")
"""Parts of a run's configuration that describe the model and how it came about."""
VERSIONS = ("recurrent-lm", "commit", "torch", "pytorch-lightning", "python", "data")
"""Parts of a run's provenance that do not describe its machine; `data` are checksums."""
PLACES = {"train", "valid", "test", "vocab_file", "vocab_from", "path"}
"""Settings of `data` that name files."""
PATH = re.compile(r"/|~|[A-Za-z]:[\\/]|\\\\|file:")


def write_exported(folder: Path, model: LanguageModel, content: Mapping[str, Any], card: str) -> None:
    """Write a model and what describes it in a checkpoint's `content` into a folder.

    Raises UserError if that fails, or if parameters of the model share only a part of their memory.
    """
    try:
        weights = save(weights_of(model), {"format": "pt"})
    except (RuntimeError, SafetensorError) as error:
        raise UserError(f"checkpoint: these weights cannot be written as safetensors: {error}") from None
    made = content.get("provenance", {})
    described = {
        "format": content["format"],
        "config": portable(content["config"]),
        "tokens": dict(content.get("tokens", {})),
        "provenance": {key: made[key] for key in VERSIONS if key in made},
    }
    write_vocabulary(folder, content["vocab"])
    write_json(folder / CONFIG, described)
    write_text(folder / CARD, card)
    with whole(folder / WEIGHTS, ANOTHER_FOLDER) as aside:  # last, because a folder without it is no checkpoint
        aside.write_bytes(weights)


def weights_of(model: LanguageModel) -> dict[str, Tensor]:
    """The weights on the CPU by name, those that two parts share once."""
    kept = own_names(model)
    return {name: part.detach().cpu().contiguous() for name, part in model.state_dict().items() if name in kept}


def own_names(model: nn.Module) -> set[str]:
    """The names of a model's parameters and buffers, of one that two parts share the first."""
    return {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}


def write_vocabulary(folder: Path, vocab: Mapping[str, Any]) -> None:
    """Write the words and the tokeniser; the text of a tokenizer.json becomes a file of its own.

    Raises UserError for a tokeniser of one's own whose settings name a file: it could not be made elsewhere.
    """
    node = dict(vocab["tokeniser"])
    text = node.pop("content", "")
    if named := [f"{key}={value}" for key, value in node.items() if isinstance(value, str) and PATH.match(value)]:
        raise UserError(f"checkpoint: its tokeniser reads a file of this machine ({named[0]}), so it cannot be shipped")
    if text:
        write_text(folder / TOKENIZER, text)
    # Escaped, because a token of bytes need not be a character.
    write_text(folder / VOCAB, json.dumps({**vocab, "tokeniser": node}, indent=1) + "\n")


def read_exported(weights: Path) -> dict[str, Any]:
    """The contents of an exported folder as those of a checkpoint. `weights` is its model.safetensors.

    Raises UserError if a file is missing, damaged, or not one of this project's; OSError if one cannot be read.
    """
    folder = weights.parent
    for name in (VOCAB, CONFIG, CARD):
        if not (folder / name).is_file():
            what = "the model card, with its figures and how they were measured" if name == CARD else "a part of it"
            raise UserError(
                f"checkpoint: the exported model in {folder} is not complete: {name} ({what}) is missing; export it "
                "again with scripts/export.py"
            )
    described, vocab = (_json(folder / name) for name in (CONFIG, VOCAB))
    config, node, words = described.get("config"), vocab.get("tokeniser"), vocab.get("words")
    if not isinstance(config, dict) or not config.keys() >= {"model", "data"}:
        raise _foreign(folder / CONFIG, "it has no settings of a model and its text")
    if not isinstance(node, dict) or TARGET not in node or not isinstance(words, list):
        raise _foreign(folder / VOCAB, "it has no words and tokeniser")
    if (folder / TOKENIZER).is_file():
        node["content"] = (folder / TOKENIZER).read_text(encoding="utf-8")
    try:
        found = load_file(weights)
    except SafetensorError as error:
        raise UserError(
            f"checkpoint: {weights} is damaged, cut short, or no safetensors file ({error}); copy it again, or export "
            "it again with scripts/export.py"
        ) from None
    embedding = found.get("embedding.weight")
    if embedding is not None and len(embedding) != len(words):
        raise UserError(
            f"checkpoint: {folder / VOCAB} has {len(words):,} words, but the weights in {weights.name} are for "
            f"{len(embedding):,}: they are not of one model; copy or export both again"
        )
    return {**described, "vocab": vocab, "state_dict": {f"model.{name}": part for name, part in found.items()}}


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _foreign(file, str(error)) from None
    if not isinstance(found, dict):
        raise _foreign(file, "it is not a JSON object")
    return found


def _foreign(file: Path, why: str) -> UserError:
    return UserError(
        f"checkpoint: {file} is damaged, or was not written by scripts/export.py ({why}); export the model again"
    )


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings without those of its machine: of a path only the last name is kept."""
    kept = {part: config[part] for part in KEPT if part in config}
    return {part: _portable(value, part == "data", part) for part, value in kept.items()}


def _portable(value: Any, of_data: bool, key: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _portable(part, of_data, str(name)) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_portable(part, of_data, key) for part in value]
    if not isinstance(value, str) or not ((of_data and key in PLACES) or PATH.match(value)):
        return value
    name = PureWindowsPath(value).name  # it takes both kinds of slash
    return "" if name == Path.home().name else name
