"""The adaptive softmax against its definition, and as part of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY, Run
from torch import nn

from lm.models.heads.adaptive import Adaptive, AdaptiveHead
from lm.runs.trained import load
from lm.system.errors import UserError

COUNTS = torch.tensor([5, 1, 9, 9, 0, 30, 2, 4, 7, 3])


def head(hidden: int = 8) -> AdaptiveHead:
    torch.manual_seed(0)
    made = AdaptiveHead(hidden, len(COUNTS), cutoffs=[3, 6], div_value=2.0)
    made.prepare(COUNTS)
    return made


def test_words_are_ranked_by_frequency_and_equal_ones_by_id() -> None:
    order = head().rank.argsort().tolist()
    assert order == [5, 2, 3, 8, 0, 7, 9, 6, 1, 4]


def test_it_is_one_distribution_over_all_words_in_the_order_of_their_ids() -> None:
    made, hidden = head(), torch.randn(4, 5, 8)
    logits = made.logits(hidden)
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(4, 5))
    for word in range(len(COUNTS)):
        nats = made.nll(hidden, torch.full((4, 5), word))
        torch.testing.assert_close(nats, -logits[..., word])
    torch.testing.assert_close(
        logits[..., made.rank.argsort()], made.softmax.log_prob(hidden.flatten(0, 1)).view(4, 5, -1)
    )


def test_nats_and_gradients_are_those_of_the_two_level_formula() -> None:
    made = head().double()
    hidden = torch.randn(6, 8, dtype=torch.double, requires_grad=True)
    targets = torch.tensor([5, 2, 0, 9, 4, 6])
    shortlist = (hidden @ made.softmax.head.weight.t()).log_softmax(-1)  # three words, two clusters
    expected = []
    for row, target in enumerate(targets.tolist()):
        rank = int(made.rank[target])
        if rank < 3:
            expected.append(-shortlist[row, rank])
            continue
        cluster = 0 if rank < 6 else 1
        down, up = made.softmax.tail[cluster]
        within = (hidden[row] @ down.weight.t() @ up.weight.t()).log_softmax(-1)
        expected.append(-shortlist[row, 3 + cluster] - within[rank - (3, 6)[cluster]])
    naive = torch.stack(expected).sum()
    ours = made.nll(hidden, targets).double().sum()
    torch.testing.assert_close(ours, naive, rtol=1e-5, atol=1e-5)
    parameters = [hidden, *made.parameters()]
    for mine, theirs in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(naive, parameters), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_a_run_saves_the_order_and_reloads_to_the_same_figure(train: Callable[..., Run], text_file: Path) -> None:
    from lm.evaluation import Static, evaluate

    run = train("data=text", f"data.train={text_file}", "model/head=adaptive", "model.head.cutoffs=[10]", *TINY)
    trained = load(run.dir)
    assert isinstance(trained.model.head, AdaptiveHead)
    assert not torch.equal(trained.model.head.rank, torch.arange(len(trained.vocab)))
    from lm.config.build import build

    data = build(trained.config["data"], "data")
    score, _ = evaluate(Static(), trained.model, data.ids["test"], data.vocab.unk)
    assert score.perplexity == pytest.approx(run.result["test"]["perplexity"], rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "tied", "said"),
    [
        ({"cutoffs": [10]}, False, "between 1 and 9"),
        ({"cutoffs": [5, 3]}, False, "rising"),
        ({"cutoffs": []}, False, "rising"),
        ({"cutoffs": [3], "div_value": 100.0}, False, "div_value"),
        ({"cutoffs": [3]}, True, "tied=false"),
    ],
)
def test_settings_that_make_no_head_are_refused(settings: dict[str, object], tied: bool, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Adaptive(**settings).head(8, nn.Embedding(10, 8), tied)  # type: ignore[arg-type]
