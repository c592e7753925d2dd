"""Weights of other programs, for `weights_from`: PyTorch's word_language_model, the classic exercise's script.

Both save a `state_dict` of one embedding, PyTorch's LSTM, GRU or RNN, and one linear layer. The words by id are in a
file `vocab.txt` beside it, one in each line.

| here | word_language_model | classic exercise |
|---|---|---|
| `embedding.weight` | `encoder.weight` | `embed.weight` |
| `layers.N.weight_ih` (`weight_hh`, `bias_ih`, `bias_hh`) | `rnn.weight_ih_lN` | `lstm.weight_ih_lN` |
| `head.linear.weight`, `.bias` | `decoder.weight`, `.bias` | `linear.weight`, `.bias` |
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lm.data.plain_text import decoded, with_last_line_end
from lm.data.tokenisers import UNK
from lm.data.vocabulary import Vocab
from lm.models.cells.gru import GRULayer
from lm.models.cells.lstm import LSTMLayer
from lm.models.cells.rnn import RNNLayer
from lm.models.interfaces import LanguageModel
from lm.runs.checkpoint import PARTS
from lm.system.errors import UserError

WORDS = "vocab.txt"
PROGRAMS = {
    "word_language_model": {"embedding": "encoder", "layers": "rnn", "head.linear": "decoder"},
    "the classic exercise": {"embedding": "embed", "layers": "lstm", "head.linear": "linear"},
}
"""How each program names what is here the embedding, the recurrent layers, and the head's linear layer."""
LAYERS = (LSTMLayer, GRULayer, RNNLayer)
OF_A_LAYER = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def foreign_content(file: Path) -> dict[str, Any] | None:
    """What a file of another program holds by name; None for a checkpoint of this project and what torch cannot read.

    Raises UserError for a pickled model, which could run any code, and OSError if the file cannot be read.
    """
    if file.suffix == ".safetensors":
        return None
    try:
        found: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" not in str(error):
            return None
        raise UserError(
            f"weights_from: {file} holds more than weights, and reading it could run any code; save the weights alone: "
            "torch.save(model.state_dict(), FILE)"
        ) from None
    except OSError:
        raise
    except Exception:  # torch's reader can fail in many ways on a foreign file
        return None
    return found if isinstance(found, dict) and found and not found.keys() >= PARTS else None


def take_classic_weights(model: LanguageModel, weights: dict[str, Any], file: Path, vocab: Vocab) -> None:
    """Copy another program's weights into a new run's model. Raises UserError if keys, sizes or words do not fit."""
    own = model.state_dict()
    fits = all(type(layer) in LAYERS for layer in getattr(model, "layers", [None]))  # an sLSTM has the LSTM's shapes
    tables = {program: _table([*own] if fits else [""], names) for program, names in PROGRAMS.items()}
    table = next((table for table in tables.values() if table.keys() == weights.keys()), None)
    if table is None:
        needed = "; or ".join(f"{', '.join(table)} ({program})" for program, table in tables.items() if table)
        raise UserError(
            f"weights_from: {file} does not hold the weights of this model. Found: {_some(weights)}. Needed: "
            f"{needed or 'a model of one embedding, LSTM, GRU or RNN layers and one softmax, as model=lstm is'}"
        )
    _refuse_other_words(file, vocab)
    for theirs, ours in table.items():
        if weights[theirs].shape != own[ours].shape:
            raise UserError(
                f"weights_from: {theirs} in {file} has the shape {[*weights[theirs].shape]}, this model's {ours} "
                f"{[*own[ours].shape]}: choose model.embedding_size, model.hidden_size and model/cell as there"
            )
    matrices = ("embedding.weight", "head.linear.weight")
    one, other = (weights[theirs] for ours in matrices for theirs, mine in table.items() if mine == ours)
    if own[matrices[0]].data_ptr() == own[matrices[1]].data_ptr() and not one.equal(other):
        raise UserError(
            f"weights_from: embedding and output matrix of {file} differ, and this model shares them: choose "
            "model.tied=false"
        )
    model.load_state_dict({ours: weights[theirs] for theirs, ours in table.items()})


def _table(own: list[str], names: dict[str, str]) -> dict[str, str]:
    """Another program's name of each of the model's weights; empty if it has no such model."""
    table = {}
    for ours in own:
        part, _, last = ours.rpartition(".")
        if part in names:
            table[f"{names[part]}.{last}"] = ours
        elif part.startswith("layers.") and last in OF_A_LAYER and part.count(".") == 1:
            table[f"{names['layers']}.{last}_l{part.removeprefix('layers.')}"] = ours
        else:
            return {}
    return table


def _refuse_other_words(file: Path, vocab: Vocab) -> None:
    """Raise UserError if the words beside the weights are missing, or are not the run's words in the same order."""
    words = file.with_name(WORDS)
    if not words.is_file():
        raise UserError(
            f"weights_from: the words of {file} are not known: put them into {words}, one in each line, by id"
        )
    theirs = with_last_line_end(decoded(words.read_bytes(), str(words))).split("\n")[:-1]
    if theirs == list(vocab.words):
        return
    pairs = zip(theirs, vocab.words, strict=False)
    first = next((place for place, (a, b) in enumerate(pairs) if a != b), None)
    if UNK not in theirs:
        what = f"lacks {UNK}, which every vocabulary has here: add it as a word, with a row of each matrix"
    elif first is None:
        what = f"has {len(theirs):,} words, and this run {len(vocab):,}"
    else:
        what = f"has {theirs[first]!r} as word {first}, and this run {vocab.words[first]!r}"
    raise UserError(
        f"weights_from: {words} {what}; choose the data that these weights were trained on, or their words for this "
        f"text: data=text data.vocab_file={words}"
    )


def _some(content: dict[str, Any]) -> str:
    names = [
        f"{name} {[*part.shape] if isinstance(part, Tensor) else type(part).__name__}" for name, part in content.items()
    ]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
