"""The full training path of strong models against plain loops: penalties, random windows, averages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY, Run, stacked
from hypothesis import given
from hypothesis import strategies as st
from test_exactness import SaveInitialWeights, plain_ids
from torch import Tensor, nn

from lm.config.schemas import Regularisation
from lm.data.sources import text
from lm.data.streams import RandomWindows
from lm.evaluation import Static, evaluate
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.runs.trained import load
from lm.system.errors import UserError
from lm.training.optim.averages import Averaging, Exponential, NonMonotonic, Stalled, Tail, Timed, WeightAverage
from lm.training.optim.optimisers import scaled_rates
from lm.training.regularisation import penalty

__all__ = ["SaveInitialWeights"]


def test_penalties_are_their_sums() -> None:
    torch.manual_seed(0)
    hidden, raw = torch.randn(2, 5, 3).double().requires_grad_(), torch.randn(2, 5, 3).double().requires_grad_()
    got = penalty(Regularisation(2.0, 3.0), hidden, raw)
    expected = torch.zeros(()).double()
    for b in range(2):
        for t in range(5):
            for k in range(3):
                expected = expected + 2.0 * hidden[b, t, k] ** 2 / 30
                if t > 0:
                    expected = expected + 3.0 * (raw[b, t, k] - raw[b, t - 1, k]) ** 2 / 24
    torch.testing.assert_close(got, expected.float())
    assert isinstance(got, Tensor)
    for one, other in zip(
        torch.autograd.grad(got, [hidden, raw]), torch.autograd.grad(expected, [hidden, raw]), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    assert penalty(Regularisation(1.0, 1.0), hidden[:, :1], raw[:, :1]) == hidden[:, :1].float().square().mean()
    assert penalty(Regularisation(), hidden, raw) == 0


def test_a_rate_is_scaled_for_one_step_and_then_the_schedules_again() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    weight.grad = torch.ones(1)
    with scaled_rates(optimizer, 0.5):
        optimizer.step()
    assert weight.item() == pytest.approx(-0.05)
    assert optimizer.param_groups[0]["lr"] == 0.1


WINDOW, BATCH, SEED, RATE, DECAY, CLIP = 14, 4, 5, 2.0, 1e-3, 0.25
SETTINGS = [
    *(setting for setting in TINY if "data." not in setting),
    "model=awd_lstm", "model/cell=lstm", "model.num_layers=2", "model.tied=false", "optim=sgd",
    "optim/schedule=constant", f"optim.lr={RATE}", f"optim.weight_decay={DECAY}", f"optim.clip={CLIP}",
    f"data.window={WINDOW}", f"data.batch_size={BATCH}", f"seed={SEED}", "tbptt.random_length=true",
    "regularisation.activation=2", "regularisation.temporal=1", "accelerator.precision=32-true",
    *(f"model.{place}_dropout=0" for place in ("embedding", "input", "layer", "output")),
]  # fmt: skip


def plain_training(
    weights: dict[str, Tensor], file: Path, epochs: int, count: int, full_rate: float = RATE
) -> tuple[list[float], list[float], Any]:
    """The recipe as a loop: the losses of windows in nats, the rate of each update, and the weights after it."""
    ids, words = plain_ids(file, BATCH)
    words = len(weights["embedding.weight"])
    embed, linear = nn.Embedding(words, 16), nn.Linear(24, words)
    lstm = nn.LSTM(16, 24, num_layers=2, batch_first=True)
    embed.load_state_dict({"weight": weights["embedding.weight"]})
    linear.load_state_dict({key: weights[f"head.linear.{key}"] for key in ("weight", "bias")})
    for name, parameter in lstm.named_parameters():
        kind, _, layer = name.rpartition("_l")
        parameter.data.copy_(weights[f"layers.{layer}.{kind}"])
    parameters = [*embed.parameters(), *lstm.parameters(), *linear.parameters()]
    windows, losses, rates, path = RandomWindows(ids.flatten().numpy(), BATCH, WINDOW, SEED), [], [], []
    for _ in range(epochs):
        zeros = torch.zeros(2, BATCH, 24)
        state: Any = (zeros, zeros)
        for k in range(count):
            inputs, targets, _ = windows[k]
            out, state = lstm(embed(inputs), tuple(part.detach() for part in state))
            loss = nn.functional.cross_entropy(linear(out).flatten(0, 1), targets.flatten())
            losses.append(loss.item())
            changes = out[:, 1:] - out[:, :-1]
            loss = loss + 2 * (out * out).mean() + (changes * changes).mean()
            gradients = torch.autograd.grad(loss, parameters)
            norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
            rate = full_rate * targets.shape[1] / WINDOW
            rates.append(rate)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter -= rate * (gradient * min(1, CLIP / norm) + DECAY * parameter)
            path.append([parameter.detach().clone() for parameter in parameters])
        windows.rewind()
    return losses, rates, path


def test_the_recipe_is_its_plain_loop(train: Callable[..., Run], text_file: Path, tmp_path: Path) -> None:
    initial = tmp_path / "initial.pt"
    save = f"+callbacks.initial={{_target_: test_recipe.SaveInitialWeights, file: '{initial}'}}"
    files = [f"data.{split}={text_file}" for split in ("train", "valid", "test")]
    run = train(
        "data=text", *files, *SETTINGS, save, "trainer.max_epochs=2", "trainer.limit_train_batches=12",
        "trainer.limit_val_batches=1", "trainer.limit_test_batches=1",
    )  # fmt: skip
    losses, rates, path = plain_training(torch.load(initial), text_file, 2, 12)
    assert list(run.curve().values()) == pytest.approx(losses, abs=2e-5)
    assert list(run.curve("train/lr").values()) == pytest.approx(rates, rel=1e-6)
    weights = torch.load(run.dir / "checkpoints/last.ckpt")["state_dict"]
    torch.testing.assert_close(weights["model.embedding.weight"], path[-1][0], atol=2e-5, rtol=0)
    torch.testing.assert_close(weights["model.head.linear.weight"], path[-1][-2], atol=2e-5, rtol=0)


def test_free_running_windows_are_penalised_alike(train: Callable[..., Run], text_file: Path) -> None:
    """With windows of one word free running reads what teacher forcing reads."""
    common = [setting for setting in SETTINGS if "data.window" not in setting and "random" not in setting]
    common += ["data=text", f"data.train={text_file}", "data.window=1", "trainer.limit_train_batches=5"]
    common += ["trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "tbptt.windows=1"]
    one, two = (train(*common, f"forcing={forcing}", name=forcing) for forcing in ("teacher", "free_running"))
    assert list(one.curve().values()) == pytest.approx(list(two.curve().values()), abs=1e-5)
    without = train(*common, "regularisation.activation=0", "regularisation.temporal=0", name="without").curve()
    assert one.curve()[0] == without[0]  # the log has nats without the penalties
    assert all(one.curve()[k] != without[k] for k in range(1, 5))


def test_a_reset_state_is_zero_with_its_probability(train: Callable[..., Run], text_file: Path) -> None:
    common = ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_train_batches=6", "optim.lr=1e-30"]
    common += ["trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
    carried, never, always = (train(*common, f"tbptt.reset={p}", name=str(p)).curve() for p in ("0", "1e-30", "1"))
    assert carried == never
    assert carried[0] == always[0]
    assert all(carried[k] != always[k] for k in range(1, 6))


@pytest.mark.parametrize("settings", [{"activation": -1.0}, {"temporal": -1.0}])
def test_a_negative_weight_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=rf"regularisation\.{next(iter(settings))}"):
        Regularisation(**settings)


def test_models_say_what_comes_before_dropout() -> None:
    for model in (RecurrentLanguageModel(20, 8, 8, dropout=0.5), stacked(20, 8, 8, output_dropout=0.5)):
        tokens, state = torch.randint(20, (2, 4)), model.initial_state(2)
        raw, _ = model.read(tokens, state)
        model.eval()
        torch.testing.assert_close(model(tokens, state)[0], model.read(tokens, state)[0])
        model.train()
        dropped = model.output_dropout(raw)
        torch.testing.assert_close(dropped[dropped != 0], 2 * raw[dropped != 0])


@given(
    losses=st.lists(st.integers(0, 9).map(float), max_size=25),
    patience=st.integers(0, 6),
    latest=st.none() | st.integers(1, 20),
)
def test_the_average_begins_as_in_a_naive_loop(losses: list[float], patience: int, latest: int | None) -> None:
    earlier: list[float] = []
    trigger, begun = NonMonotonic(patience, latest), False
    for loss in losses:
        naive = len(earlier) > patience and loss > min(earlier[: len(earlier) - patience])
        earlier.append(loss)
        naive = naive or (latest is not None and len(earlier) >= latest)
        assert trigger.begins(earlier) == naive
        begun = begun or naive
    average = WeightAverage(nn.Linear(1, 1), trigger)
    for loss in losses:
        average.validated(loss)
    assert average.begun == begun


@given(losses=st.lists(st.integers(0, 9).map(float), max_size=25), patience=st.integers(0, 6))
def test_the_average_begins_where_so_many_validations_were_not_the_best(losses: list[float], patience: int) -> None:
    best, since = float("inf"), 0
    for k, loss in enumerate(losses):
        since = 0 if loss < best else since + 1
        best = min(best, loss)
        assert Stalled(patience).begins(losses[: k + 1]) == (since >= patience)
    assert not Stalled(0).begins([])
    assert Stalled(9, latest=2).begins([2.0, 1.0])


def test_an_average_by_time_begins_with_the_first_validation_after_it() -> None:
    average = WeightAverage(nn.Linear(1, 1), Timed(minutes=2))
    for seconds, begun in ((60.0, False), (119.0, False), (121.0, True), (122.0, True)):
        average.validated(1.0, seconds)
        assert average.begun == begun


@pytest.mark.parametrize(
    ("averaging", "expected"),
    [
        (Tail(), [1, 1.5, 2, 2.5]),
        (Exponential(0.5), [1, 1.5, 2.25, 3.125]),
        (NonMonotonic(), []),
        (None, []),
    ],
)
def test_averages_of_known_weights(averaging: Averaging | None, expected: list[float]) -> None:
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, averaging)
    for k in range(4):
        model.weight.data.fill_(k + 1)
        average.update()
        with average.in_place():
            assert model.weight.item() == pytest.approx(expected[k] if expected else k + 1)
        assert model.weight.item() == k + 1


@pytest.mark.parametrize("average", ["optim/average=tail", "optim/average=non_monotonic"])
def test_averaged_descent_is_its_plain_loop(
    average: str, train: Callable[..., Run], text_file: Path, tmp_path: Path
) -> None:
    initial = tmp_path / "initial.pt"
    save = f"+callbacks.initial={{_target_: test_recipe.SaveInitialWeights, file: '{initial}'}}"
    files = {split: str(text_file) for split in ("train", "valid", "test")}
    mono, epochs, count, rate, patience = "mono" in average, 6, 9, 40.0, 1
    run = train(
        "data=text", *(f"data.{split}={file}" for split, file in files.items()), *SETTINGS, save, average,
        f"optim.average.{'patience' if mono else 'after'}={patience}", f"trainer.max_epochs={epochs}",
        f"trainer.limit_train_batches={count}", f"optim.lr={rate}",
    )  # fmt: skip
    losses, _, path = plain_training(torch.load(initial), text_file, epochs, count, rate)
    assert list(run.curve().values()) == pytest.approx(losses, abs=1e-3)  # the raw weights are trained
    valid, begin = list(run.curve("valid/loss").values()), 1
    if mono:
        begin = 1 + next(k for k in range(patience + 1, epochs) if valid[k] > min(valid[: k - patience]))
    assert begin < epochs
    mean = [torch.stack(weights).mean(0) for weights in zip(*path[begin * count :], strict=True)]
    last = run.dir / "checkpoints/last.ckpt"
    saved = torch.load(last)
    average_of = saved["training"]["average"]
    torch.testing.assert_close(saved["state_dict"]["model.embedding.weight"], mean[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(average_of["trained"][0], path[-1][0], atol=1e-3, rtol=0)
    assert not torch.equal(average_of["trained"][0], saved["state_dict"]["model.embedding.weight"])
    assert average_of["count"] == (epochs - begin) * count
    ids = text(batch_size=BATCH, window=WINDOW, **files).ids["valid"]
    assert evaluate(Static(), load(last).model, ids, unk=0)[0].nats_per_token == pytest.approx(valid[-1], rel=1e-6)


def test_streams_are_reset_each_for_itself() -> None:
    torch.manual_seed(0)
    model = RecurrentLanguageModel(20, 8, 3, num_layers=2)
    state = model.reset_some([(torch.ones(2000, 3), torch.ones(2000, 3))] * 2, 0.25)
    kept = state[0][0][:, 0]
    assert kept.mean().item() == pytest.approx(0.75, abs=0.03)
    for part in (*state[0], *state[1]):
        assert torch.equal(part, kept.unsqueeze(1).expand_as(part))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(NonMonotonic, {"patience": -1}), (Stalled, {"latest": 0}), (Tail, {"after": -1}), (Exponential, {"decay": 1.0})],
)
def test_averages_that_are_none_are_refused(kind: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"optim\.average\.{next(iter(settings))}"):
        kind(**settings)
