"""What is done with a trained model: sampling, evaluation, distances. One function a script."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import partial
from itertools import combinations
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from lm.build import build, did_you_mean
from lm.checkpoint import Trained, corpus, load
from lm.data.sources import SPLITS
from lm.data.vocab import Vocab
from lm.devices import device
from lm.embeddings import distance, neighbours, spread
from lm.errors import UserError
from lm.evaluation import Evaluator
from lm.evaluation import evaluate as score_text
from lm.evaluation.base import AUTO
from lm.files import whole, writable
from lm.models.int8 import int8_weights
from lm.report import write_json
from lm.sampling import generate

SEPARATOR = "---"


def sample(cfg: DictConfig) -> None:
    """Print text from a checkpoint to standard output, several sequences with a line `---` between them."""
    trained = _load(cfg)
    sampler = build(_plain(cfg.sampler), "sampler")
    text = _text(cfg.prompt, cfg.prompt_file, "prompt")
    prompt = None if text is None else [_known(trained.vocab, word) for word in trained.vocab.split(text.rstrip("\n"))]
    if not 0 <= cfg.seed < 2**63:
        raise UserError(f"seed must be 0 or more, and fit into 64 bits; got {cfg.seed}")
    generator = torch.Generator().manual_seed(cfg.seed)
    with int8_weights(trained.model) if _precision(cfg, "auto", "32-true", "int8") == "int8" else nullcontext():
        ids = generate(trained.model, sampler, trained.vocab, prompt, generator)
    print(f"\n{SEPARATOR}\n".join(trained.vocab.decode(row) for row in ids.tolist()))


def evaluate(cfg: DictConfig) -> None:
    """Nats, tokens and perplexity of a split of the checkpoint's own corpus, or of a given text."""
    _precision(cfg, "auto", "32-true")
    trained = _load(cfg)
    asked: Evaluator = build(_plain(cfg.evaluator), "evaluator", {"corpus": partial(_split, trained)})
    text = _text(cfg.text, cfg.text_file, "text")
    ids = _split(trained, cfg.split) if text is None else _sentence(trained.vocab, text)
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


def distances(cfg: DictConfig) -> None:
    """Euclidean and cosine distance of each pair of words, beside those of random pairs before and after training, and
    nearest neighbours."""
    trained = _load(cfg)
    words = _words(cfg)
    ids = [_known(trained.vocab, word) for word in words]
    embedding = trained.model.embedding.weight.detach()
    start, now = spread(trained.untrained().embedding.weight.detach()), spread(embedding)
    pairs, nearest = [], {}
    for (a, i), (b, j) in combinations(zip(words, ids, strict=True), 2):
        found = distance(embedding[i], embedding[j])
        beside: dict[str, dict[str, dict[str, float]]] = {"untrained": {}, "trained": {}}
        pairs.append({"words": [a, b], **found._asdict(), **beside})
        print(f"{a} - {b}")
        for name, value, *spreads in zip(found._fields, found, start, now, strict=True):
            said = []
            for (when, kept), (mean, deviation) in zip(beside.items(), spreads, strict=True):
                kept[name] = {"mean": mean, "standard_deviation": deviation}
                said.append(f"{when} {mean:.4f} +- {deviation:.4f}: {_off((value - mean) / deviation)}")
            print(f"  {name:<9} {value:8.4f}   random pairs {'; '.join(said)}")
    for word, i in zip(words, ids, strict=True):
        near = [(trained.vocab.words[j], value) for j, value in neighbours(embedding, i, cfg.neighbours)]
        nearest[word] = [{"word": other, "cosine": value} for other, value in near]
        print(f"nearest to {word}: " + ", ".join(f"{other} {value:.3f}" for other, value in near))
    if cfg.out:
        write_json(writable(cfg.out, "out"), {"pairs": pairs, "neighbours": nearest})


def _off(deviations: float) -> str:
    """A place among random ones in words, by its distance from their mean."""
    if abs(deviations) < 2:
        return "as any other"
    return f"{abs(deviations):.1f} standard deviations {'above' if deviations > 0 else 'below'}"


def _words(cfg: DictConfig) -> list[str]:
    """The words of the command line, or of a file (white space between them; `-` is standard input)."""
    if cfg.words_file is not None and not OmegaConf.is_missing(cfg, "words"):
        raise UserError("words and words_file are both given; choose one")
    if OmegaConf.is_missing(cfg, "words"):
        if cfg.words_file is None:
            raise UserError("words is missing; name two or more: words=[army,taxpayer]")
        words = (_text(None, cfg.words_file, "words") or "").split()
    else:
        words = [str(word) for word in cfg.words]
    words = list(dict.fromkeys(words))
    if len(words) < 2:
        raise UserError(
            "words: two or more different ones are needed for a distance, as in words=[army,taxpayer]; "
            f"got {len(words)}"
        )
    if cfg.neighbours < 0:
        raise UserError(f"neighbours must not be negative; got {cfg.neighbours}")
    return words


def _plain(node: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(node, resolve=True)  # type: ignore[return-value]


def _load(cfg: DictConfig) -> Trained:
    if OmegaConf.is_missing(cfg, "checkpoint"):
        raise UserError("checkpoint is missing; name a checkpoint file or a run's folder: checkpoint=PATH")
    if cfg.checkpoint == "last":
        raise UserError("checkpoint=last is for train.py; name a checkpoint file or a run's folder: checkpoint=PATH")
    for name in ("out", "per_token"):
        if cfg.get(name):
            writable(cfg[name], name)  # said before the work is done
    trained = load(cfg.checkpoint, cfg.trust)
    if "accelerator" in cfg:
        trained.model.to(device(cfg.accelerator.accelerator))
    return trained


def _precision(cfg: DictConfig, *known: str) -> str:
    """What `accelerator.precision` says; `auto` is exact fp32 here. Raises UserError for what a script cannot do."""
    precision = str(cfg.accelerator.precision)
    if precision not in known:
        raise UserError(f"accelerator.precision={precision}: choose one of {', '.join(known)}")
    if precision == "int8" and device(cfg.accelerator.accelerator).type != "cpu":
        raise UserError("accelerator.precision=int8 is for the processor: choose accelerator=cpu as well")
    return precision


def _known(vocab: Vocab, word: str) -> int:
    if word not in vocab:
        raise UserError(
            f"{word!r} is not among the {len(vocab):,} {vocab.unit}s of this model. {_near(word, vocab)}"
            + ("Write <unk> for an unknown word" if vocab.unit == "word" else "Leave it out")
        )
    return vocab.id(word)


def _near(word: str, vocab: Vocab) -> str:
    hint = did_you_mean(word, vocab.words)
    return f"{hint} " if hint.startswith("Did") else ""


def _text(given: str | None, file: str | None, name: str) -> str | None:
    """Text from the command line, a file, or standard input (`-`)."""
    if given is not None and file is not None:
        raise UserError(f"{name} and {name}_file are both given; choose one")
    if file is None:
        return given
    if file == "-" and sys.stdin is None:
        raise UserError(f"{name}_file=-: standard input is closed; name a file")
    try:
        return sys.stdin.read() if file == "-" else Path(file).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{name}_file: cannot read {file}: {error.strerror}; check the name, or use - for standard input"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{name}_file: {file} is not UTF-8; convert it first, for example with iconv") from None


def _split(trained: Trained, split: str) -> np.ndarray:
    if split not in SPLITS:
        raise UserError(f"split={split}: there is no such split. {did_you_mean(split, SPLITS)}")
    ids: np.ndarray = corpus(trained).ids[split]
    return ids


def _sentence(vocab: Vocab, text: str) -> np.ndarray:
    """`<eos>` and the text's ids: the score starts with the first word. A newline is `<eos>`."""
    unknown = dict.fromkeys(word for word in vocab.split(text) if word not in vocab)
    if unknown:
        print(f"not in the vocabulary, scored as <unk>: {' '.join(unknown)}", file=sys.stderr)
    ids = vocab.sentence(text)
    if len(ids) < 2:
        raise UserError("text is empty; give at least one word")
    return ids


def _visible(word: str) -> str:
    """A character that would break a line or a table, as it is written in programs."""
    return word.translate({ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"})


def _write(path: Path, name: str, content: str) -> None:
    with whole(writable(path, name), "free some space or choose another file") as aside:
        aside.write_text(content, encoding="utf-8")
