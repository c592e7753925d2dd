"""`distance.py`: prints distances between words, and each word's nearest neighbours."""

from __future__ import annotations

from itertools import combinations

from omegaconf import DictConfig, OmegaConf

from lm.commands.inputs import asked_text, load_trained
from lm.config.hydra_job import containers
from lm.evaluation.word_distances import distance as distance_of
from lm.evaluation.word_distances import neighbours, spread
from lm.runs.known_words import known_word
from lm.system.errors import UserError
from lm.system.files import writable, write_json


def distance(cfg: DictConfig) -> None:
    """Print Euclidean and cosine distance of each pair of words, and each word's nearest neighbours.

    Each distance is compared with the distances of random pairs of words, before and after training.
    """
    trained = load_trained(cfg)
    words = _words(cfg)
    ids = [known_word(trained.vocab, word) for word in words]
    embedding = trained.model.embedding.weight.detach()
    start, now = spread(trained.untrained().embedding.weight.detach()), spread(embedding)
    pairs, nearest = [], {}
    for (a, i), (b, j) in combinations(zip(words, ids, strict=True), 2):
        found = distance_of(embedding[i], embedding[j])
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
        found_near = neighbours(embedding, i, cfg.neighbours)
        near = [(trained.vocab.tokeniser.shown(trained.vocab.words[j]), value) for j, value in found_near]
        nearest[word] = [{"word": other, "cosine": value} for other, value in near]
        print(f"nearest to {word}: " + ", ".join(f"{other} {value:.3f}" for other, value in near))
    if cfg.out:
        write_json(writable(cfg.out, "out"), {"pairs": pairs, "neighbours": nearest})


def _off(deviations: float) -> str:
    """Say how unusual a distance is, from its `deviations`: standard deviations from the mean of random pairs."""
    if abs(deviations) < 2:
        return "not unusual"
    return f"{abs(deviations):.1f} standard deviations {'above' if deviations > 0 else 'below'}"


def _words(cfg: DictConfig) -> list[str]:
    """The words from the command line, or from a file with white space between words (`-`: standard input).

    Raises UserError for fewer than two different words.
    """
    if cfg.words_file is not None and not OmegaConf.is_missing(cfg, "words"):
        raise UserError("words and words_file are both given; choose one")
    if OmegaConf.is_missing(cfg, "words"):
        if cfg.words_file is None:
            raise UserError("words is missing; name two or more: words=[army,taxpayer]")
        words = (asked_text(None, cfg.words_file, "words") or "").split()
    else:
        words = [str(word) for word in containers(cfg)["words"]]
    words = list(dict.fromkeys(words))
    if len(words) < 2:
        raise UserError(
            f"words: a distance needs two or more different words, as in words=[army,taxpayer]; got {len(words)}"
        )
    return words
