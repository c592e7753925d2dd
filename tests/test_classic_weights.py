"""Weights of PyTorch's word_language_model and of the classic exercise: the same nats here as there, or a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Done
from torch import Tensor, nn

from lm.data.tokenisers import EOS, UNK
from lm.data.vocabulary import Vocab
from lm.models.cells import GRU, LSTM, RNN, SLSTM
from lm.models.recurrent_language_model import RecurrentLanguageModel
from lm.models.transformer_language_model import TransformerLanguageModel
from lm.runs.resume import take_weights
from lm.runs.trained import load
from lm.system.errors import UserError

VOCAB = Vocab(["a", "b", EOS, "c", UNK])
NAMES = {"word_language_model": ("encoder", "rnn", "decoder"), "exercise": ("embed", "lstm", "linear")}
KINDS: dict[str, tuple[Callable[..., nn.RNNBase], Any]] = {
    "lstm": (nn.LSTM, LSTM()),
    "gru": (nn.GRU, GRU()),
    "tanh": (nn.RNN, RNN()),
    "relu": (lambda *sizes: nn.RNN(*sizes, nonlinearity="relu"), RNN(nonlinearity="relu")),
}


class Theirs(nn.Module):
    """A model as those programs have it, with their names of its three parts."""

    def __init__(
        self, names: tuple[str, str, str], recurrent: Callable[..., nn.RNNBase], layers: int = 2, hidden: int = 6
    ) -> None:
        super().__init__()
        self.names = names
        parts = (nn.Embedding(5, 4), recurrent(4, hidden, layers), nn.Linear(hidden, 5))
        for name, part in zip(names, parts, strict=True):
            self.add_module(name, part)

    def forward(self, words: Tensor) -> Tensor:
        embedding, recurrent, linear = (getattr(self, name) for name in self.names)
        return linear(recurrent(embedding(words.t()))[0]).transpose(0, 1)


def saved(folder: Path, model: nn.Module, words: list[str] | None = None) -> Path:
    torch.save(model.state_dict(), folder / "model.pt")
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words or VOCAB.words))
    return folder / "model.pt"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("program", NAMES)
def test_their_weights_give_their_logits(program: str, kind: str, tmp_path: Path) -> None:
    recurrent, cell = KINDS[kind]
    theirs = Theirs(NAMES[program], recurrent)
    ours = RecurrentLanguageModel(5, 4, 6, num_layers=2, cell=cell).eval()
    take_weights(ours, str(saved(tmp_path, theirs)), VOCAB)
    words = torch.randint(5, (3, 7))
    logits = ours.head.logits(ours(words, ours.initial_state(3))[0])
    torch.testing.assert_close(logits, theirs(words))


def test_a_run_starts_from_them(call: Callable[..., Done], tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a b a c\n" * 60)
    theirs = Theirs(NAMES["exercise"], nn.LSTM, 1)
    words = ["a", "b", "c", EOS, UNK]
    file = saved(tmp_path, theirs, words)
    sizes = ["model.embedding_size=4", "model.hidden_size=6", "data.batch_size=2", "data.window=3"]
    sizes += ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "free_running=null", "callbacks.projector=null"]
    sizes += ["optim.lr=1e-9", "accelerator=cpu", f"hydra.run.dir={tmp_path / 'run'}", "accelerator.precision=32-true"]
    done = call("train", "data=text", f"data.train={text}", f"weights_from={file}", *sizes)
    assert done.code == 0, done.err
    trained = load(tmp_path / "run")
    assert trained.vocab.words == tuple(words)
    torch.testing.assert_close(trained.model.embedding.weight, theirs.embed.weight, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("theirs", "ours", "words", "sentence"),
    [
        (
            lambda: nn.Linear(3, 3),
            lambda: RecurrentLanguageModel(5, 4, 6),
            None,
            r"Found: weight \[3, 3\], bias \[3\]. Needed: encoder.weight, .*rnn.weight_hh_l0.* "
            r"\(word_language_model\); or embed.weight, .*lstm.weight_hh_l0.* \(the classic exercise\)",
        ),
        (
            lambda: Theirs(NAMES["exercise"], nn.LSTM, 2),
            lambda: RecurrentLanguageModel(5, 4, 6),
            None,
            "does not hold the weights of this model.*lstm.weight_ih_l1",
        ),
        (
            lambda: Theirs(NAMES["exercise"], nn.GRU, 1),
            lambda: RecurrentLanguageModel(5, 4, 6),
            None,
            r"lstm.weight_ih_l0 in .* has the shape \[18, 4\].*layers.0.weight_ih \[24, 4\].*model/cell",
        ),
        (
            lambda: Theirs(NAMES["exercise"], nn.LSTM, 1),
            lambda: RecurrentLanguageModel(5, 4, 6, cell=SLSTM()),
            None,
            "Needed: a model of one embedding, LSTM, GRU or RNN layers",
        ),
        (
            lambda: Theirs(NAMES["exercise"], nn.LSTM, 1, hidden=4),
            lambda: RecurrentLanguageModel(5, 4, 4, tied=True),
            None,
            "embedding and output matrix .* differ, and this model shares them: choose model.tied=false",
        ),
        (
            lambda: Theirs(NAMES["exercise"], nn.LSTM, 1),
            lambda: TransformerLanguageModel(5, 8, 8),
            None,
            "Needed: a model of one embedding, LSTM, GRU or RNN layers and one softmax, as model=lstm is",
        ),
        (
            lambda: Theirs(NAMES["exercise"], nn.LSTM, 1),
            lambda: RecurrentLanguageModel(5, 4, 6),
            ["a", "b", "c", EOS, UNK],
            "has 'c' as word 2, and this run '<eos>'.*data.vocab_file=",
        ),
        (
            lambda: Theirs(NAMES["exercise"], nn.LSTM, 1),
            lambda: RecurrentLanguageModel(5, 4, 6),
            [*VOCAB.words, "d"],
            "has 6 words, and this run 5",
        ),
        (
            lambda: Theirs(NAMES["exercise"], nn.LSTM, 1),
            lambda: RecurrentLanguageModel(5, 4, 6),
            ["a", "b", EOS, "c"],
            "lacks <unk>, which every vocabulary has here",
        ),
    ],
)
def test_what_does_not_fit_is_said(
    theirs: Callable[[], nn.Module],
    ours: Callable[[], Any],
    words: list[str] | None,
    sentence: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match=f"weights_from: .*{sentence}"):
        take_weights(ours(), str(saved(tmp_path, theirs(), words)), VOCAB)


def test_words_that_are_missing_and_a_pickled_model_are_said(tmp_path: Path) -> None:
    ours = RecurrentLanguageModel(5, 4, 6)
    file = saved(tmp_path, Theirs(NAMES["exercise"], nn.LSTM, 1))
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"put them into .*vocab\.txt, one in each line, by id"):
        take_weights(ours, str(file), VOCAB)
    torch.save(Theirs(NAMES["exercise"], nn.LSTM, 1), tmp_path / "whole.pt")
    with pytest.raises(UserError, match=r"save the weights alone: torch\.save\(model\.state_dict\(\), FILE\)"):
        take_weights(ours, str(tmp_path / "whole.pt"), VOCAB)
    torch.save({"model_state_dict": {}, "epoch": 3}, tmp_path / "nested.pt")
    with pytest.raises(UserError, match=r"Found: model_state_dict dict, epoch int\. Needed: encoder\.weight"):
        take_weights(ours, str(tmp_path / "nested.pt"), VOCAB)
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(UserError, match="cannot be read as one of this project's checkpoints"):
        take_weights(ours, str(tmp_path / "text.pt"), VOCAB)
