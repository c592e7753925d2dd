"""`evaluate.py`: computes nats, tokens and perplexity of a text under a trained model."""

from __future__ import annotations

import sys
from functools import partial
from math import log
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from lm.commands.inputs import asked_precision, asked_text, load_trained
from lm.config.build import build
from lm.config.dry_run import TOKENS, dry
from lm.config.hydra_job import containers
from lm.config.unknown_key import unknown_option
from lm.data.source import SPLITS
from lm.data.vocabulary import Vocab
from lm.evaluation import Evaluator
from lm.evaluation import evaluate as score_text
from lm.evaluation.evaluator import AUTO
from lm.runs.trained import Trained, corpus
from lm.system.errors import UserError
from lm.system.files import whole, writable, write_json


def evaluate(cfg: DictConfig) -> None:
    """Print nats, tokens and perplexity of a given text, or of a split of the corpus that the model was trained on."""
    asked_precision(cfg, "auto", "32-true")
    trained = load_trained(cfg)
    node, splits = containers(cfg.evaluator), partial(_split, trained, TOKENS if cfg.dry else None)
    asked: Evaluator = build(dry(node, "evaluator") if cfg.dry else node, "evaluator", {"corpus": splits})
    text = asked_text(cfg.text, cfg.text_file, "text")
    ids = splits(cfg.split) if text is None else _sentence(trained.vocab, text)
    evaluator = asked.resolved(trained.model)
    found = {key: evaluator.settings[key] for key, value in asked.settings.items() if value == AUTO}
    score, scored = score_text(evaluator, trained.model, ids)
    words = [trained.vocab.words[i] for i in scored.words.tolist()]
    lines = [f"{_visible(word)}\t{nats:.6f}" for word, nats in zip(words, scored.nats.tolist(), strict=True)]
    result = {**score.as_dict(), "evaluator": evaluator.name, "split": cfg.split if text is None else "text"}
    result |= {"settings": evaluator.settings, "found_on_valid": list(found)}
    if cfg.per_token:
        _write(Path(cfg.per_token), "per_token", "\n".join(lines) + "\n")
    if cfg.out:
        write_json(writable(cfg.out, "out"), result)
    if text is not None and not cfg.per_token:
        print("\n".join(lines))
    if found:
        print("found on the validation text: " + ", ".join(f"{key} {value}" for key, value in found.items()))
    bits = f", {score.nats_per_token / log(2):.4f} bits a character" if trained.vocab.unit == "character" else ""
    print(
        f"{result['split']}: {score.nats:.4f} nats over {score.tokens:,} tokens, "
        f"perplexity {score.perplexity:.4f}{bits} ({evaluator.name})"
    )


def _split(trained: Trained, tokens: int | None, split: str) -> np.ndarray:
    """The word ids of a split. Except for "train", only the first `tokens` ids are returned (None: all).

    Raises UserError for an unknown split.
    """
    if split not in SPLITS:
        raise UserError(unknown_option("split", split, SPLITS, "split"))
    ids: np.ndarray = corpus(trained).ids[split]
    return ids if tokens is None or split == "train" else ids[:tokens]


def _sentence(vocab: Vocab, text: str) -> np.ndarray:
    """The word ids of a text, after an `<eos>`, so that the first word is scored too. A newline becomes `<eos>`."""
    unknown = dict.fromkeys(word for word in vocab.split(text) if word not in vocab)
    if unknown:
        print(f"out of vocabulary, scored as <unk>: {' '.join(unknown)}", file=sys.stderr)
    ids = vocab.sentence(text)
    if len(ids) < 2:
        raise UserError("text is empty; give at least one word")
    return ids


def _visible(word: str) -> str:
    """Escape tabs and line ends in a word, because they would break a table with one word per line."""
    return word.translate({ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"})


def _write(path: Path, name: str, content: str) -> None:
    with whole(writable(path, name), "free some space or choose another file") as aside:
        aside.write_text(content, encoding="utf-8")
