"""`evaluate.py`: computes nats, tokens and perplexity of a text under a trained model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from lm.commands.inputs import asked_precision, asked_text
from lm.commands.mixture import evaluator_of, keeper, load_members, score_mixture
from lm.config.dry_run import TOKENS, dry
from lm.config.hydra_job import containers
from lm.config.unknown_key import unknown_option
from lm.data.source import SPLITS
from lm.data.text_size import TextSize, size_of
from lm.data.tokenisers import EOS, UNK, Whitespace
from lm.data.unknown_tokens import counted, warning
from lm.data.vocabulary import Vocab
from lm.evaluation import Scored, per_text
from lm.evaluation import evaluate as score_text
from lm.evaluation.evaluator import AUTO
from lm.runs.known_words import SHOWN, beyond_shown, unknown_words
from lm.runs.trained import Trained
from lm.system.errors import UserError
from lm.system.files import whole, writable, write_json
from lm.system.terminal import say


@dataclass(frozen=True)
class Asked:
    """The text to score: its name, word ids [N], its words as they stand in the text [N], its size if it is whole."""

    name: str
    ids: np.ndarray
    words: Callable[[], list[str]]
    size: TextSize | None


def evaluate(cfg: DictConfig) -> None:
    """Print nats, tokens and perplexity of a given text, or of a split of the corpus that the model was trained on."""
    asked_precision(cfg, "auto", "32-true")
    members = load_members(cfg)
    trained, node = members[0], containers(cfg.evaluator)
    splits = partial(_split_ids, trained, TOKENS if cfg.dry else None)
    tokens, node = TOKENS if cfg.dry else None, dry(node, "evaluator") if cfg.dry else node
    asked, *others = (evaluator_of(node, one, partial(_split_ids, one, tokens)) for one in members)
    if cfg.adapted and (others or cfg.ngram or not asked.changes_weights):
        raise UserError("adapted=FILE keeps what one model learns: choose evaluator=dynamic and one checkpoint")
    given = asked_text(cfg.text, cfg.text_file, "text")
    if given is None:
        words = partial(trained.corpus.split_words, cfg.split, trained.vocab)
        text = Asked(cfg.split, splits(cfg.split), words, None if cfg.dry else trained.split_size(cfg.split))
    else:
        text = _sentence(trained.vocab, given)
    evaluator = asked.resolved(trained.model)
    found = {key: evaluator.settings[key] for key, value in asked.settings.items() if value == AUTO}
    facts: dict[str, Any] = {}
    if others or cfg.ngram:
        evaluators = [evaluator, *(other.resolved(one.model) for other, one in zip(others, members[1:], strict=True))]
        score, scored, facts = score_mixture(cfg, members, evaluators, text.ids, partial(splits, "valid"))
    else:
        kept = keeper(cfg, trained)
        score, scored = score_text(evaluator, trained.model, text.ids, trained.vocab.unk, kept)
    if cfg.per_token or given is not None:
        lines = _lines(text, evaluator.positions(len(text.ids)), scored, trained.vocab)
    result = {**score.as_dict(), "perplexity_known": score.perplexity_known, "evaluator": evaluator.name}
    per = per_text(score.nats, text.size if score.tokens == len(text.ids) - 1 else None)
    result |= {**per, "split": text.name, "settings": evaluator.settings, "found_on_valid": list(found), **facts}
    if cfg.per_token:
        _write(Path(cfg.per_token), "per_token", "\n".join(lines) + "\n")
    elif given is not None:
        say("word, nats, and 1 if the model knows the word:")
        print("\n".join(lines))
    if cfg.out:
        write_json(writable(cfg.out, "out"), result)
    if found:
        print("found on the validation text: " + ", ".join(f"{key} {value}" for key, value in found.items()))
    for one in facts.get("members", []):
        print(f"share {one['share']:.4f}, alone {one['perplexity']:.4f}: {one['member']}")
    by_word = isinstance(trained.vocab.tokeniser, Whitespace) or per["bits_per_byte"] is None
    bits = "" if by_word else f", {per['bits_per_byte']:.4f} bits a byte, {per['perplexity_per_word']:.5g} a word"
    known = f", {score.perplexity_known:.4f} without the unknown" if 0 < score.unknown < score.tokens else ""
    print(
        f"{text.name}: {score.nats:.4f} nats over {counted(score.tokens, score.unknown)}, "
        f"perplexity {score.perplexity:.4f}{known}{bits} ({evaluator.name})"
    )
    if said := warning(trained.vocab, {text.name: (score.tokens, score.unknown)}):
        say(said)


def _split_ids(trained: Trained, tokens: int | None, split: str) -> np.ndarray:
    """The word ids of a split. Except for "train", only the first `tokens` ids are returned (None: all).

    Raises UserError for an unknown split.
    """
    if split not in SPLITS:
        raise UserError(unknown_option("split", split, SPLITS, "split"))
    ids = trained.split_ids(split)
    return ids if tokens is None or split == "train" else ids[:tokens]


def _sentence(vocab: Vocab, text: str) -> Asked:
    """A given text, after an `<eos>`, so that its first word is scored too. A newline becomes `<eos>`."""
    words = [EOS, *vocab.split(text)]
    if unknown := unknown_words(vocab, words):
        shown = " ".join(map(_visible, unknown[:SHOWN]))
        say(f"out of vocabulary, scored as {UNK}: {shown}{beyond_shown(unknown)}")
    if len(words) < 2:
        raise UserError("text is empty; give at least one word")
    return Asked("text", vocab.sentence(text), lambda: words, size_of(text))


def _lines(text: Asked, positions: np.ndarray, scored: Scored, vocab: Vocab) -> list[str]:
    """A line for each scored token: the word as it stands in the text, its nats, and 1 if it is known, else 0."""
    words = list(map(vocab.tokeniser.shown, text.words()))
    rows = zip(positions.tolist(), scored.nats.tolist(), (scored.words != vocab.unk).tolist(), strict=True)
    return [f"{_visible(words[at])}\t{nats:.6f}\t{known:d}" for at, nats, known in rows]


def _visible(word: str) -> str:
    """Escape tabs and line ends in a word, because they would break a table with one word per line."""
    return word.translate({ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"})


def _write(path: Path, name: str, content: str) -> None:
    with whole(writable(path, name), "free some space or choose another file") as aside:
        aside.write_text(content, encoding="utf-8")
