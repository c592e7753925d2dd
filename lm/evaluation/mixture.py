"""Mixtures of models: each word's probability is a weighted mean of those that several models give it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from lm.data.documents import starts_of
from lm.evaluation.kneser_ney import KneserNey
from lm.system.errors import UserError

STEPS, CLOSE = 1000, 1e-10
"""Most steps of the search for shares, and the gain in nats per word below which it ends."""


def mixed(nats: np.ndarray, shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """Nats [N] of words under a mixture, from those of each member [M, N]: -log(sum of shares x probabilities)."""
    with np.errstate(divide="ignore"):  # a share of 0
        weighted = np.log(np.asarray(shares, np.float64))[:, None] - nats
    found: np.ndarray = -np.logaddexp.reduce(weighted, axis=0)
    return found


def best_shares(nats: np.ndarray) -> np.ndarray:
    """The shares [M], which add up to 1, that give words with these nats [M, N] the lowest sum of nats.

    By expectation maximisation (Dempster et al. 1977): it has one optimum, and never ends worse than the best member.
    """
    shares = np.full(len(nats), 1 / len(nats))
    before = mixed(nats, shares)
    for _ in range(STEPS):
        shares = np.exp(np.log(shares)[:, None] - nats + before).mean(axis=1)
        shares /= shares.sum()
        now = mixed(nats, shares)
        if before.mean() - now.mean() < CLOSE:
            break
        before = now
    best = int(nats.sum(axis=1).argmin())
    alone: np.ndarray = np.eye(len(nats))[best]
    return alone if nats[best].sum() < mixed(nats, shares).sum() else shares


def checked_shares(shares: Sequence[float], members: int) -> np.ndarray:
    """Shares from a user, scaled to add up to 1. Raises UserError for a wrong number of them, or a negative one."""
    found = np.array(shares, np.float64)
    if len(found) != members or not np.isfinite(found).all() or found.min(initial=0) < 0 or found.sum() <= 0:
        raise UserError(f"mixture: give {members} shares, a number of at least 0 for each model; got {list(shares)}")
    scaled: np.ndarray = found / found.sum()
    return scaled


def ngram_nats(model: KneserNey, ids: np.ndarray) -> np.ndarray:
    """Nats [N - 1] of ids[1:] under an n-gram model. No context reaches into an earlier document."""
    cuts = sorted({0, *starts_of(ids).tolist(), len(ids) - 1})
    plain = np.asarray(ids)
    parts = [model.nats(plain[first : end + 1]) for first, end in pairwise(cuts)]
    return np.concatenate(parts) if parts else np.zeros(0)
