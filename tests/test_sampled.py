"""The sampled softmax against the whole one, and as part of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY, Run
from torch import Tensor, nn

from lm.models.heads.sampled_softmax import Sampled, SampledHead
from lm.models.heads.softmax import SoftmaxHead
from lm.runs.trained import load
from lm.system.errors import UserError

WORDS, HIDDEN = 40, 8
FREQUENT = [31, 4, 17, 22, 9]  # the most frequent words, which are not those of the lowest ids
COUNTS = torch.ones(WORDS, dtype=torch.long).index_fill_(0, torch.tensor(FREQUENT), 7)


def head(frequent: int, sampled: int) -> SampledHead:
    torch.manual_seed(0)
    made = Sampled(frequent, sampled).head(HIDDEN, nn.Embedding(WORDS, HIDDEN), tied=False)
    assert isinstance(made, SampledHead)
    nn.init.normal_(made.linear.bias)
    made.prepare(COUNTS)
    return made


def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(3, 4, HIDDEN, requires_grad=True), torch.randint(0, WORDS, (3, 4))


def gradients(nats: Tensor, made: nn.Module, hidden: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(nats.sum(), [hidden, *made.parameters()])


def test_a_sample_of_all_words_is_the_whole_softmax() -> None:
    made, (hidden, targets) = head(5, WORDS), batch()
    ours, whole = made.nll(hidden, targets), SoftmaxHead.nll(made, hidden, targets)
    torch.testing.assert_close(ours, whole)
    for mine, theirs in zip(gradients(ours, made, hidden), gradients(whole, made, hidden), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_nats_and_gradients_are_those_of_a_softmax_over_the_drawn_words() -> None:
    made, (hidden, targets) = head(5, 6), batch()
    torch.manual_seed(2)
    words, *_ = made._draw(targets)
    torch.manual_seed(2)
    ours = made.nll(hidden, targets)
    sure = {*FREQUENT, *targets.flatten().tolist()}
    weight = torch.zeros(WORDS)  # how many words each represents
    weight[list(sure)] = 1
    weight[[word for word in words.tolist() if word not in sure]] = (WORDS - len(sure)) / 6
    logits = hidden @ made.linear.weight.t() + made.linear.bias
    naive = (logits.exp() * weight).sum(-1).log() - logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    assert len(words) == len(sure) + 6
    torch.testing.assert_close(ours, naive)
    for mine, theirs in zip(gradients(ours, made, hidden), gradients(naive, made, hidden), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_the_sum_under_the_softmax_is_right_on_average() -> None:
    made, (hidden, targets) = head(5, 6), batch()
    with torch.no_grad():
        logit = made.logits(hidden).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        whole = made.logits(hidden).exp().sum(-1)
        drawn = torch.stack([(made.nll(hidden, targets) + logit).exp() for _ in range(4000)])
    error = drawn.std(0) / 4000**0.5
    assert ((drawn.mean(0) - whole).abs() < 5 * error + 1e-4).all()


def test_evaluation_is_exact() -> None:
    made, (hidden, targets) = head(5, 6).eval(), batch()
    expected = nn.functional.cross_entropy(made.logits(hidden).flatten(0, 1), targets.flatten(), reduction="none")
    torch.testing.assert_close(made.nll(hidden, targets).flatten(), expected)


@pytest.mark.slow
def test_a_run_with_it_reloads_to_the_same_figure_and_goes_on_where_it_stood(
    train: Callable[..., Run], text_file: Path
) -> None:
    typed = ["data=text", f"data.train={text_file}", "model/head=sampled", *TINY]
    typed += ["model.head.frequent=3", "model.head.sampled=4"]
    run = train(*typed, "trainer.max_epochs=2")
    trained = load(run.dir)
    assert isinstance(trained.model.head, SampledHead)
    half = train(*typed, "trainer.max_epochs=1", name="half")
    on = train(f"checkpoint={half.dir}", "trainer.max_epochs=2", name="on")
    assert on.result["test"]["perplexity"] == run.result["test"]["perplexity"]


def test_its_weights_fit_a_whole_softmax_and_another_number_of_words(
    train: Callable[..., Run], text_file: Path
) -> None:
    typed = ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_train_batches=3"]
    first = train(*typed, "model/head=sampled", "model.head.frequent=3", "model.head.sampled=4")
    frozen = [f"weights_from={first.dir}", "optim=sgd", "optim.lr=1e-30"]
    whole = train(*typed, *frozen, "model/head=softmax", name="whole")
    more = train(*typed, *frozen, "model/head=sampled", "model.head.frequent=30", name="more")
    assert whole.result["test"] == more.result["test"] == first.result["test"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"frequent": -1}, "model.head.frequent must be at least 0; got -1"),
        ({"sampled": 0}, "model.head.sampled must be at least 1; got 0"),
    ],
)
def test_sizes_that_make_no_sample_get_a_sentence(settings: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Sampled(**settings).head(HIDDEN, nn.Embedding(WORDS, HIDDEN), tied=False)
