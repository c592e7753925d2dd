"""`lm.models.check`: all of the project's cells and models pass, and each broken one is named in the right words."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lm.models
from lm.models import RecurrentLanguageModel, TransformerLanguageModel
from lm.models.cells import GRU, LSTM, QRNN, RNN, SLSTM, Cell, MinGRU, MinLSTM, Mogrifier, RecurrentLayer
from lm.models.heads.adaptive import Adaptive
from lm.models.heads.mixture_of_softmaxes import Mixture
from lm.models.heads.sampled_softmax import Sampled
from lm.models.interfaces import LanguageModel, State
from lm.system.errors import UserError

CELLS = [
    *(LSTM, GRU, RNN, Mogrifier, QRNN, MinGRU, MinLSTM, SLSTM),
    *(RNN(nonlinearity="relu"), QRNN(width=1), QRNN(width=3), Mogrifier(rounds=0, rank=None, coupled=False)),
    *(cell(weight_dropout=0.3, state_dropout=0.4) for cell in (LSTM, GRU, RNN, SLSTM)),
    Mogrifier(state_dropout=0.4),
]
HEADS: list[Any] = [Adaptive(cutoffs=[8, 16], div_value=2.0), Mixture(2), Sampled(frequent=8, sampled=5)]


class Layer(RecurrentLayer):
    """What every toy below shares: h = tanh(W [x, h])."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.map = nn.Linear(input_size + hidden_size, hidden_size)

    def step(self, x: Tensor, memory: Any) -> Any:
        h = self.map(torch.cat([x, memory[0]], dim=-1)).tanh()
        return h, (h,)


class WrongShape(Layer):
    def step(self, x: Tensor, memory: Any) -> Any:
        h, memory = super().step(x, memory)
        return h[:, :-1], memory


class GrowingMemory(Layer):
    def step(self, x: Tensor, memory: Any) -> Any:
        h, _ = super().step(x, memory)
        return h, (h, h)


class NoBatch(Layer):
    def first(self, batch_size: int) -> Any:
        return (self.map.bias.new_zeros(1, self.hidden_size),)


class BareMemory(Layer):
    def step(self, x: Tensor, memory: Any) -> Any:
        h, _ = super().step(x, memory)
        return h, h


class Raising(Layer):
    def step(self, x: Tensor, memory: Any) -> Any:
        return super().step(x, memory, 3)  # type: ignore[call-arg]


class InPlace(Layer):
    def step(self, x: Tensor, memory: Any) -> Any:
        memory[0].mul_(0.5)
        return super().step(x, memory)


class Constant(Layer):
    def first(self, batch_size: int) -> Any:
        return (torch.zeros(batch_size, self.hidden_size),)


class Rounding(Layer):
    def step(self, x: Tensor, memory: Any) -> Any:
        h, _ = super().step(x, memory)
        return h.float(), (h,)


class Noisy(Layer):
    def step(self, x: Tensor, memory: Any) -> Any:
        h, _ = super().step(x, memory)
        h = h + 0.1 * torch.rand_like(h)
        return h, (h,)


class Forgetting(Layer):
    def window(self, x: Tensor, memory: Any) -> Any:
        return super().window(x, self.first(len(x)))


class Truncating(Layer):
    """A window that has the right values, and not the gradients."""

    def window(self, x: Tensor, memory: Any) -> Any:
        outputs = []
        for one in x.unbind(1):
            out, memory = self.step(one, (memory[0].detach(),))
            outputs.append(out)
        return torch.stack(outputs, dim=1), memory


class Detached(Layer):
    def step(self, x: Tensor, memory: Any) -> Any:
        return super().step(x, (memory[0].detach(),))


class Keeping(Layer):
    """A layer that keeps its memory to itself, so that no detach reaches it."""

    kept: Tensor | None = None

    def window(self, x: Tensor, memory: Any) -> Any:
        out, memory = super().window(x, memory if self.kept is None else (memory[0] + self.kept,))
        self.kept = out[:, -1] - out[:, -1].detach()  # zero, with a gradient
        return out, memory


class Mixing(Layer):
    def step(self, x: Tensor, memory: Any) -> Any:
        return super().step(x - x.mean(dim=0), memory)


class Unused(Layer):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.extra = nn.Linear(2, 2)


class Infinite(Layer):
    def step(self, x: Tensor, memory: Any) -> Any:
        h, memory = super().step(x, memory)
        return h / 0, memory


class Untaught(Layer):
    """Random in training mode, and not by torch's seed."""

    def step(self, x: Tensor, memory: Any) -> Any:
        h, memory = super().step(x, memory)
        return h * random.random() if self.training else h, memory


BROKEN: list[tuple[type[Layer], list[str]]] = [
    (
        WrongShape,
        ["`window` must return an output of shape (3, 5, 8) here; its shape is (3, 5, 7)", "`step` must return"],
    ),
    (GrowingMemory, ["`step` must return a memory of the shapes of `first`, [(3, 8)]; it returned [(3, 8), (3, 8)]"]),
    (NoBatch, ["`first(3)` must give tensors whose first dimension is the batch, 3", "gave the shapes [(1, 8)]"]),
    (BareMemory, ["`step` must return the memory as a tuple of tensors; it returned Tensor"]),
    (Raising, ["`step` raised TypeError: ", "takes 3 positional arguments but 4 were given"]),
    (Infinite, ["`step` must return finite outputs"]),
    (InPlace, ["`window` must not change the tensors it is given", "`step` must not change the tensors it is given"]),
    (Constant, ["with weights of float64, `first` must return float64; it returned float32: make constants from a"]),
    (Rounding, ["with weights of float64, `step` must return float64; it returned float32"]),
    (Noisy, ["`window` must give the same twice in evaluation mode: draw only if `self.training`", "`step` must give"]),
    (Untaught, ["`step` must give the same twice under one seed in training mode"]),
    (
        Forgetting,
        ["from a carried memory, the outputs, ", "`window` must continue from the memory it is given; three windows"],
    ),
    (
        Truncating,
        ["from the first memory, the gradient of `map.weight`, ", "the gradient of `map.bias` over two joined"],
    ),
    (Detached, ["the gradient of `map.weight` over two joined windows must be", "a part is detached"]),
    (Keeping, ["after a detach of the state, `window` still has gradients in the window before: keep nothing between"]),
    (Mixing, ["`window` must keep the sequences of a batch apart", "compute nothing over dimension 0"]),
    (Unused, ["`extra.weight` must receive a gradient; it has none", "`extra.bias` must receive a gradient"]),
]


def cell_of(layer: Callable[[int, int], Any], name: str) -> Any:
    return type(name, (Cell,), {"layer": lambda _, into, size: layer(into, size)})


def said(part: Any) -> str:
    with pytest.raises(UserError) as caught:
        lm.models.check(part)
    return str(caught.value)


@pytest.mark.parametrize("part", [*CELLS, cell_of(Layer, "Toy")], ids=str)
def test_every_cell_passes(part: Any) -> None:
    lm.models.check(part)


@pytest.mark.parametrize(
    "make",
    [
        lambda words: RecurrentLanguageModel(words, 6, 8, num_layers=2, dropout=0.3, cell=GRU()),
        lambda words: RecurrentLanguageModel(words, 8, 8, sum_layers=True, num_layers=2, tied=True, cell=SLSTM()),
        *(lambda words, head=head: RecurrentLanguageModel(words, 6, 8, head=head) for head in HEADS),
        lambda words: TransformerLanguageModel(words, 6, 8, num_layers=2, heads=2, context=3),
        lambda words: TransformerLanguageModel(words, 8, 8, num_layers=1, heads=2, context=20, tied=False),
    ],
)
def test_every_model_passes(make: Any) -> None:
    lm.models.check(make)


@pytest.mark.parametrize(("layer", "sentences"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_broken_is_named(layer: type[Layer], sentences: list[str]) -> None:
    message = said(cell_of(layer, layer.__name__))
    assert message.startswith(f"{layer.__name__} does not work as a cell:\n- ")
    for sentence in sentences:
        assert sentence in message
    assert said(cell_of(layer, layer.__name__)()) == message or layer is Untaught


def test_nothing_is_named_that_holds() -> None:
    """One cause has one sentence where the others would be its consequences, and no other check is blamed."""
    assert said(cell_of(Constant, "Constant")).count("\n- ") == 1
    assert said(cell_of(Unused, "Unused")).count("\n- ") == 2
    assert said(cell_of(Mixing, "Mixing")).count("\n- ") == 2
    assert said(cell_of(Detached, "Detached")).count("\n- ") == 2


class Words(RecurrentLanguageModel):
    """A model whose parts are broken one at a time."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size, 6, 8)


class SharedMemory(Words):
    def read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        out, state = super().read(tokens, state)
        return out + out.mean(dim=0), state


class TupleState(Words):
    def initial_state(self, batch_size: int) -> Any:
        return tuple(super().initial_state(batch_size))


class Headless(Words):
    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        del self.head


class KeptState(Words):
    """It goes on from the state it kept, with the gradient of the window before."""

    def read(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        out, after = super().read(tokens, state)
        out = out + getattr(self, "kept", 0)
        self.kept = (out - out.detach()).sum()
        return out, after


class FirstWordOnly(Words):
    def read_one(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return super().read_one(tokens, self.initial_state(len(tokens)))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (SharedMemory, "`read` must keep the sequences of a batch apart"),
        (
            TupleState,
            "`initial_state` must return the state as a list of tuples of tensors; it returned tuple of tuple",
        ),
        (Headless, "Headless must set self.head"),
        (KeptState, "after a detach of the state, `read` still has gradients"),
        (FirstWordOnly, "`read` must give what `read_one` gives step by step; from a carried memory, the outputs"),
    ],
)
def test_a_broken_model_is_named(model: type[LanguageModel], sentence: str) -> None:
    message = said(model)
    assert message.startswith(model.__name__)
    assert sentence in message
    assert said(lambda words: model(words)) == message  # type: ignore[call-arg]


def test_what_cannot_be_checked_is_refused() -> None:
    assert "takes a cell, a model, or a function that makes a model; got int" in said(3)
    assert "got Layer" in said(Layer(2, 3))
    assert said(cell_of(lambda *_: nn.Linear(2, 2), "Wrong")) == "Wrong must make a RecurrentLayer; it made Linear"
    assert said(lambda words: nn.Linear(words, 2)).endswith("must make a LanguageModel; it made Linear")
    assert "Broken cannot be made; it raised ZeroDivisionError" in said(cell_of(lambda *_: 1 / 0, "Broken"))


def test_a_check_changes_neither_the_model_nor_the_random_state() -> None:
    model, rng = RecurrentLanguageModel(20, 6, 8, output_dropout=0.5).train(), torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lm.models.check(model)
    assert model.training
    assert torch.equal(torch.get_rng_state(), rng)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in model.parameters())
