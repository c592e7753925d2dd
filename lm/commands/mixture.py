"""Several checkpoints, and an n-gram model, as one mixture: their loading, their shares, their score of a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from lm.commands.inputs import load_trained
from lm.config.build import build
from lm.config.hydra_job import containers
from lm.evaluation import Evaluator, Score, Scored, Static, evaluate, perplexity
from lm.evaluation.kneser_ney import KneserNey
from lm.evaluation.mixture import best_shares, checked_shares, mixed, ngram_nats
from lm.evaluation.predictors import Mixture, Neural, NGram, Predictor
from lm.models.interfaces import LanguageModel
from lm.runs.checkpoint import read, save_adapted
from lm.runs.result import RESULT, read_result
from lm.runs.trained import Trained
from lm.system.errors import UserError
from lm.system.files import writable
from lm.system.terminal import say


def load_members(cfg: DictConfig, apart: bool = False) -> list[Trained]:
    """Load each checkpoint of the setting `checkpoint`; a sweep's folder means its finished jobs.

    Raises UserError if they have different vocabularies, unless they score `apart`: their probabilities would not be of
    the same words.
    """
    asked = containers(cfg).get("checkpoint")
    if asked is None:
        raise UserError("checkpoint must not be null; name a checkpoint file or a run's folder: checkpoint=PATH")
    paths = [path for one in asked for path in _jobs(one)] if isinstance(asked, list) else _jobs(asked)
    if not paths:
        raise UserError("checkpoint is an empty list; name a checkpoint file or a run's folder in it")
    members = [load_trained(cfg, path) for path in paths]
    for other in members[1:]:
        if not apart and other.vocab != members[0].vocab:
            raise UserError(
                f"checkpoint: {members[0].path} and {other.path} have different vocabularies, so their probabilities "
                "do not mix: train them on one text, or one with data.vocab_from= the other"
            )
    if not apart and len(members) == 1 and not cfg.ngram and containers(cfg)["mixture"] != "equal":
        raise UserError("mixture= is for several models: give checkpoint=[A,B], or ngram=N; or leave it out")
    if cfg.adapted and Path(cfg.adapted).expanduser().resolve() in [one.path.resolve() for one in members]:
        raise UserError(f"adapted: {cfg.adapted} is the checkpoint that is read; name another file")
    return members


def _jobs(path: Any) -> list[Any]:
    folder = Path(str(path)).expanduser()
    results = sorted(folder.glob(f"*/{RESULT}")) if folder.is_dir() and not (folder / RESULT).exists() else []
    return [file.parent for file in results if read_result(file.parent).get("status") == "completed"] or [path]


def score_mixture(
    cfg: DictConfig,
    members: Sequence[Trained],
    evaluators: Sequence[Evaluator],
    ids: np.ndarray,
    valid: Callable[[], np.ndarray],
) -> tuple[Score, Scored, dict[str, Any]]:
    """Score a text [N] by a mixture: the total, each word's nats, and facts about the members for the result."""
    vocab, ngram = members[0].vocab, _ngram(cfg, members[0])
    names = [str(one.path) for one in members] + ([f"{cfg.ngram}-gram"] if ngram else [])
    of_text = _nats(members, evaluators, ngram, ids)
    if cfg.mixture == "auto" and cfg.split == "valid" and cfg.text is None and cfg.text_file is None:
        say("warning: the shares are found on the text that is scored; a perplexity of new text needs split=test")
    shares = _shares(cfg, len(names), lambda: _nats(members, evaluators, ngram, valid()))
    combined = mixed(of_text, shares)
    words = torch.from_numpy(np.asarray(ids)[1:].astype(np.int64))
    score = Score(vocab.unk)
    score.add(words, torch.from_numpy(combined))
    alone = [perplexity(float(row.mean())) for row in of_text]
    facts = [
        {"member": name, "share": float(share), "perplexity": own}
        for name, share, own in zip(names, shares, alone, strict=True)
    ]
    return score, Scored(words, torch.from_numpy(combined).float()), {"members": facts}


def evaluator_of(node: dict[str, Any], trained: Trained, corpus: Callable[[str], np.ndarray]) -> Evaluator:
    """The evaluator that is asked for, for one model."""
    found: Evaluator = build(node, "evaluator", {"corpus": corpus, "eos": trained.vocab.eos})
    return found


def keeper(cfg: DictConfig, trained: Trained) -> Callable[[LanguageModel], None]:
    """What is done with an adapted model: it is written to the file `adapted`, if that is given."""
    if not cfg.adapted:
        return lambda model: None
    file = writable(cfg.adapted, "adapted")
    return lambda model: save_adapted(model, read(trained.path), file)


def predictor_of(cfg: DictConfig, members: Sequence[Trained], temperatures: Sequence[float]) -> Predictor:
    """The mixture that scores sentences; a single model as it is."""
    neural = [Neural(one.model, temperature) for one, temperature in zip(members, temperatures, strict=True)]
    if len(neural) == 1 and not cfg.ngram:
        return neural[0]
    ngram = _ngram(cfg, members[0])
    static = [Static(temperature=temperature) for temperature in temperatures]

    def on_valid() -> np.ndarray:
        return _nats(members, static, ngram, members[0].split_ids("valid"))

    shares = _shares(cfg, len(neural) + (ngram is not None), on_valid)
    say(f"shares of the mixture: {', '.join(f'{share:.4f}' for share in shares)}")
    return Mixture([*neural, *([NGram(ngram)] if ngram else [])], shares)


def _ngram(cfg: DictConfig, trained: Trained) -> KneserNey | None:
    """The n-gram model that is asked for, of the text that a model was trained on."""
    return KneserNey(trained.split_ids("train"), cfg.ngram, len(trained.vocab)) if cfg.ngram else None


def _nats(
    members: Sequence[Trained], evaluators: Sequence[Evaluator], ngram: KneserNey | None, ids: np.ndarray
) -> np.ndarray:
    """Nats [M, N - 1] of a text [N] under each member. Raises UserError if one does not score every word."""
    rows = []
    for one, evaluator in zip(members, evaluators, strict=True):
        _, scored = evaluate(evaluator, one.model, ids, one.vocab.unk)
        if len(scored.nats) != len(ids) - 1:
            raise UserError(
                f"evaluator={evaluator.name} does not score every word of a text, so its models do not mix: choose "
                "static, cache or dynamic"
            )
        rows.append(scored.nats.double().numpy())
    return np.stack([*rows, *([ngram_nats(ngram, ids)] if ngram else [])])


def _shares(cfg: DictConfig, members: int, on_valid: Callable[[], np.ndarray]) -> np.ndarray:
    asked = containers(cfg)["mixture"]
    if asked == "auto":
        return best_shares(on_valid())
    if asked == "equal":
        return np.full(members, 1 / members)
    if not isinstance(asked, list) or not all(isinstance(one, (int, float)) for one in asked):
        raise UserError(f"mixture={asked}: choose equal or auto, or give shares: mixture=[0.7,0.3]")
    return checked_shares(asked, members)
