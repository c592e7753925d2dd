"""The model card of an exported model: what it is, its figures with their conventions, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lm.config.build import TARGET
from lm.data.vocabulary import Vocab
from lm.models.interfaces import LanguageModel
from lm.runs.exported import portable

AS_CHECKPOINT = """\
This folder is a checkpoint of recurrent-lm:

    python scripts/sample.py checkpoint=FOLDER
    python scripts/evaluate.py checkpoint=FOLDER text="..."
    python scripts/score.py checkpoint=FOLDER file=FILE

In Python: `lm.load("FOLDER")`. Without recurrent-lm, `safetensors.torch.load_file("model.safetensors")` gives the
weights, and `vocab.json` the words by id.
"""
AS_STEP = """\
`step.onnx` reads one token of each sequence and the state, and gives the log-probabilities of the next word and the
next state. `step.json` has the name, shape, type and first value of each tensor of the state, `vocab.json` the words.

It takes ids. Splitting a text into tokens is not part of it: here that is the tokeniser `{tokeniser}`.
"""


def model_card(
    model: LanguageModel, vocab: Vocab, content: Mapping[str, Any], result: Mapping[str, Any] | None, use: str
) -> str:
    """The card as Markdown.

    `content`: of the checkpoint; `result`: result.json of its run, None if it is not known; `use`: how to use it.
    """
    config, made = portable(content["config"]), content.get("provenance", {})
    parts = {key: _name(value) for key, value in config["model"].items() if _is_part(value)}
    sizes = {key: json.dumps(value) for key, value in config["model"].items() if isinstance(value, (int, float))}
    lines = [
        f"# A {_name(config['model'])} of {model.parameter_count:,} weights",
        "",
        f"- vocabulary: {len(vocab):,} tokens; tokeniser: `{vocab.tokeniser.option}`",
        f"- text: `{_name(config['data'])}`; tokens: {_counts(content)}",
        f"- parts: {', '.join(f'{key} `{value}`' for key, value in parts.items()) or 'none to choose'}",
        f"- settings: {', '.join(f'`{key}={value}`' for key, value in sizes.items())}",
        f"- made with recurrent-lm {made.get('recurrent-lm')}, torch {made.get('torch')}",
        "",
        "## Figures",
        "",
        *_figures(config, vocab, content, result),
        "",
        "## Use",
        "",
        use.format(tokeniser=vocab.tokeniser.option),
    ]
    return "\n".join(lines)


def _figures(
    config: Mapping[str, Any], vocab: Vocab, content: Mapping[str, Any], result: Mapping[str, Any] | None
) -> list[str]:
    if result is None:
        return [
            "Not known: this checkpoint is not the best one of a finished run. `scripts/evaluate.py` measures them."
        ]
    rows = ["| split | perplexity | nats | tokens | unknown | bits per byte | bits per character |", f"|{'---|' * 7}"]
    for split in ("valid", "test"):
        score = result.get(split) or {}
        if score.get("tokens"):
            cells = [split, _number(score.get("perplexity"), ".2f"), _number(score.get("nats"), ".1f")]
            cells += [_number(score.get(key), ",") for key in ("tokens", "unknown")]
            cells += [_number(score.get(f"bits_per_{unit}"), ".4f") for unit in ("byte", "character")]
            rows.append(f"| {' | '.join(cells)} |")
    training = result.get("training") or {}
    trained = f"Trained on {_number(training.get('tokens'), ',')} tokens in {_number(training.get('updates'), ',')} "
    trained += f"updates, seed {result.get('seed')}; best epoch {(result.get('best') or {}).get('epoch')}."
    return [*rows, "", *_conventions(config, vocab, content, result), "", trained]


def _conventions(
    config: Mapping[str, Any], vocab: Vocab, content: Mapping[str, Any], result: Mapping[str, Any]
) -> list[str]:
    """How the figures were measured, in so many sentences as are true of this run."""
    documents = bool(config["data"].get("documents"))
    stream = "each document as a stream of its own" if documents else "as one unbroken stream"
    said = [
        f"Perplexity is exp(sum of nats / scored tokens) of text that is read {stream}, from the first state, with its "
        "first token given and not scored.",
        "Unknown: how many of the scored tokens are read as `<unk>`; many of them make a text easy to predict."
        + (" The text itself writes `<unk>`: it is a word of it." if vocab.writes_unk else ""),
        "Bits per byte and per character compare between tokenisers, perplexities per token do not.",
    ]
    for split in ("valid", "test"):
        scored, all_ = (result.get(split) or {}).get("tokens"), content.get("tokens", {}).get(split)
        if scored and all_ and not documents and scored < all_ - 1:
            said.append(f"Of the {split} text only the first {scored:,} of {all_ - 1:,} tokens were scored.")
    return said


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _counts(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{split} {count:,}" for split, count in content.get("tokens", {}).items()) or "not known"


def _name(node: Mapping[str, Any]) -> str:
    return str(node[TARGET]).rpartition(".")[2]


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and TARGET in value
