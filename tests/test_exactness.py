"""The whole path through Hydra and Lightning against plain loops that know nothing of this project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from conftest import PTB, TINY, Run, needs_ptb
from torch import nn

TOLERANCE = 1e-5  # nats


class SaveInitialWeights(pl.Callback):
    """A callback as a user would name it in the configuration; writes the weights before the first update."""

    def __init__(self, file: str) -> None:
        self.file = file

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        torch.save(module.model.state_dict(), self.file)


class PlainModel(nn.Module):
    def __init__(self, words: int, embed: int, hidden: int) -> None:
        super().__init__()
        self.embed, self.linear = nn.Embedding(words, embed), nn.Linear(hidden, words)
        self.lstm = nn.LSTM(embed, hidden, batch_first=True)

    def forward(self, x: torch.Tensor, state: tuple) -> tuple:
        out, state = self.lstm(self.embed(x), state)
        return self.linear(out), state


def plain_ids(file: Path, batch: int) -> tuple[torch.Tensor, int]:
    """Read a corpus word by word with a dictionary, as the classic exercise does."""
    index: dict[str, int] = {}
    ids = []
    with open(file) as lines:
        for line in lines:
            for word in [*line.split(), "<eos>"]:
                ids.append(index.setdefault(word, len(index)))
    columns = len(ids) // batch
    return torch.tensor(ids[: columns * batch]).view(batch, columns), len(index)


def plain_model(weights: dict[str, torch.Tensor]) -> PlainModel:
    words, embed = weights["embedding.weight"].shape
    model = PlainModel(words, embed, weights["head.linear.weight"].shape[1])
    model.embed.weight.data.copy_(weights["embedding.weight"])
    model.linear.load_state_dict({key: weights[f"head.linear.{key}"] for key in ("weight", "bias")})
    model.lstm.load_state_dict({key: weights[f"layers.0.{key.removesuffix('_l0')}"] for key in model.lstm.state_dict()})
    return model


def teacher_forcing(model: PlainModel, ids: torch.Tensor, window: int, count: int) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    zeros = torch.zeros(1, len(ids), model.lstm.hidden_size)
    state, losses = (zeros, zeros), []
    for i in range(0, count * window, window):
        state = tuple(part.detach() for part in state)
        out, state = model(ids[:, i : i + window], state)
        targets = ids[:, i + 1 : i + 1 + window]
        loss = nn.functional.cross_entropy(out.reshape(-1, out.shape[-1]), targets.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    return losses


def no_teacher_forcing(model: PlainModel, ids: torch.Tensor, window: int, count: int) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    zeros = torch.zeros(1, len(ids), model.lstm.hidden_size)
    state, losses = (zeros, zeros), []
    for i in range(0, count * window, window):
        word, total = ids[:, i : i + 1], 0.0
        for j in range(window):
            state = tuple(part.detach() for part in state)
            out, state = model(word, state)
            loss = nn.functional.cross_entropy(out[:, 0], ids[:, i + 1 + j])
            total += loss.item()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            word = out[:, 0].argmax(dim=1, keepdim=True)
        losses.append(total / window)
    return losses


LOOPS = {"baseline": (teacher_forcing, 20), "no_tf": (no_teacher_forcing, 3)}


def hold_against_plain_loop(
    train: Callable[..., Run], experiment: str, file: Path, batch: int, window: int, overrides: list[str], tmp: Path
) -> None:
    loop, count = LOOPS[experiment]
    initial = tmp / "initial.pt"
    run = train(
        f"+experiment={experiment}",
        *overrides,
        "accelerator=cpu",
        "accelerator.precision=32-true",
        "trainer.max_epochs=1",
        "trainer.log_every_n_steps=1",
        f"trainer.limit_train_batches={count}",
        "trainer.limit_val_batches=1",
        "trainer.limit_test_batches=1",
        f"+callbacks.initial={{_target_: test_exactness.SaveInitialWeights, file: '{initial}'}}",
    )
    ids, words = plain_ids(file, batch)
    weights = torch.load(initial)
    assert len(weights["embedding.weight"]) - words in (0, 1)  # `<unk>` is in the vocabulary even if not in the text
    expected = loop(plain_model(weights), ids, window, count)
    got = run.curve("train/loss")
    assert list(got) == list(range(count))
    assert list(got.values()) == pytest.approx(expected, abs=TOLERANCE, rel=0)


@pytest.mark.parametrize("experiment", LOOPS)
def test_whole_path_equals_plain_loop(
    experiment: str, train: Callable[..., Run], text_file: Path, tmp_path: Path
) -> None:
    files = [f"data.{split}={text_file}" for split in ("train", "valid", "test")]
    hold_against_plain_loop(train, experiment, text_file, 4, 6, ["data=text", *files, *TINY], tmp_path)


@pytest.mark.slow
@needs_ptb
@pytest.mark.parametrize("experiment", LOOPS)
def test_whole_path_equals_plain_loop_at_full_size_on_ptb(
    experiment: str, train: Callable[..., Run], tmp_path: Path
) -> None:
    hold_against_plain_loop(train, experiment, PTB / "ptb.train.txt", 20, 30, [], tmp_path)


def test_k_windows_equal_one_window_of_k_times_the_length(train: Callable[..., Run], text_file: Path) -> None:
    common = ["data=text", f"data.train={text_file}", *TINY, "trainer.limit_val_batches=1"]
    many = train(*common, "data.window=6", "tbptt.windows=3", "trainer.limit_train_batches=12", name="many")
    one = train(*common, "data.window=18", "trainer.limit_train_batches=4", name="one")
    losses = list(many.curve().values())
    means = [sum(losses[i : i + 3]) / 3 for i in range(0, 12, 3)]
    assert means == pytest.approx(list(one.curve().values()), abs=TOLERANCE, rel=0)
    weights = [torch.load(run.dir / "checkpoints" / "last.ckpt")["state_dict"] for run in (many, one)]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], atol=1e-5, rtol=0)
