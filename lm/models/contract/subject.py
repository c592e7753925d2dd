"""What `lm.models.check` checks, a recurrent layer or a language model, and how it compares values."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from traceback import walk_tb
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lm.models.cells.cell import Cell, RecurrentLayer
from lm.models.interfaces import LanguageModel, State, detach
from lm.system.errors import UserError

BATCH, STEPS, WORDS, INPUT, HIDDEN = 3, 5, 23, 6, 8
CLOSE = 1e-5  # the difference allowed, relative to the largest value, in float64

Read = Callable[[Tensor, State], tuple[Tensor, State]]


class Raised(Exception):
    """A check cannot continue; the message is the sentence for the user."""


class Subject(ABC):
    """A layer or a model, at first in float32 and in evaluation mode. A layer's memory is a state of one layer."""

    KIND: ClassVar[str]
    FIRST: ClassVar[str]
    WINDOW: ClassVar[str]
    STEP: ClassVar[str]
    UNITS: ClassVar[int]
    """How many units an output must have; 0: any number."""

    def __init__(self, module: Any) -> None:
        self.module: Any = module.float().eval()

    @abstractmethod
    def inputs(self, steps: int) -> Tensor:
        """A random input of so many time steps, for each sequence."""

    @abstractmethod
    def packed(self, method: str, memory: Any) -> State:
        """The memory that `method` returned, as a state. Raises Raised if it is none."""

    @abstractmethod
    def unpacked(self, state: State) -> Any:
        """The memory that the module's methods take."""

    @abstractmethod
    def traced(self, x: Tensor, state: State) -> tuple[State, list[Tensor]]:
        """Read a window. Returns the state after it, and the vectors that a gradient through it would reach."""

    @abstractmethod
    def scores(self, out: Tensor) -> Tensor:
        """The logits of a model's output; a layer's output itself."""

    def first(self) -> State:
        return self.packed(self.FIRST, self.call(self.FIRST, BATCH))

    def window(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self._read(self.WINDOW, x, state)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self._read(self.STEP, x, state)

    def reads(self, x: Tensor) -> list[tuple[str, Read, Tensor]]:
        """Both ways to read, each with its name and the input that it takes, from x [B, T, ...]."""
        return [(self.STEP, self.step, x[:, 0]), (self.WINDOW, self.window, x)]

    def by_steps(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        outputs = []
        for one in x.unbind(1):
            out, state = self.step(one, state)
            outputs.append(out)
        return torch.stack(outputs, dim=1), state

    def carried(self) -> State:
        """The state after some words, without a graph."""
        return detach(self.window(self.inputs(STEPS), self.first())[1])

    def call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self.module, method)(*arguments)
        except Exception as error:
            # A `window` may fail in the `step` that it calls: the innermost is named.
            frames = [frame for frame, _ in walk_tb(error.__traceback__) if frame.f_locals.get("self") is self.module]
            names = [frame.f_code.co_name for frame in frames]
            inside = [name for name in names if name in (self.FIRST, self.WINDOW, self.STEP)]
            raise Raised(said([method, *inside][-1], error)) from error

    def _read(self, method: str, x: Tensor, state: State) -> tuple[Tensor, State]:
        result = self.call(method, x, self.unpacked(state))
        if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], Tensor):
            raise Raised(f"`{method}` must return a pair, the output and the new memory; it returned {kind(result)}")
        return result[0], self.packed(method, result[1])


class Layer(Subject):
    KIND, FIRST, WINDOW, STEP, UNITS = "cell", "first", "window", "step", HIDDEN

    def inputs(self, steps: int) -> Tensor:
        return torch.randn(BATCH, steps, INPUT, dtype=next(self.module.parameters()).dtype)

    def packed(self, method: str, memory: Any) -> State:
        if not is_memory(memory):
            raise Raised(f"`{method}` must return the memory as a tuple of tensors; it returned {kind(memory)}")
        return [memory]

    def unpacked(self, state: State) -> Any:
        return state[0]

    def traced(self, x: Tensor, state: State) -> tuple[State, list[Tensor]]:
        x.requires_grad_()
        return self.window(x, state)[1], [x]

    def scores(self, out: Tensor) -> Tensor:
        return out


class Model(Subject):
    KIND, FIRST, WINDOW, STEP, UNITS = "language model", "initial_state", "read", "read_one", 0

    def inputs(self, steps: int) -> Tensor:
        return torch.randint(self.module.vocab_size, (BATCH, steps))

    def packed(self, method: str, memory: Any) -> State:
        if not isinstance(memory, list) or not memory or not all(map(is_memory, memory)):
            raise Raised(f"`{method}` must return the state as a list of tuples of tensors; it returned {kind(memory)}")
        return memory

    def unpacked(self, state: State) -> Any:
        return list(state)

    def traced(self, x: Tensor, state: State) -> tuple[State, list[Tensor]]:
        found: list[Tensor] = []
        hook = self.module.embedding.register_forward_hook(lambda _, __, vectors: found.append(vectors))
        after = self.window(x, state)[1]
        hook.remove()
        return after, found

    def scores(self, out: Tensor) -> Tensor:
        try:
            logits: Tensor = self.module.head.logits(out)
        except Exception as error:
            raise Raised(said("head.logits", error)) from error
        return logits


def made(part: Any) -> Subject:
    """The subject of a check: of a cell, a model, or a function that makes a model. Raises UserError if it is none."""
    name = getattr(part, "__name__", type(part).__name__)
    if isinstance(part, RecurrentLayer) or not (callable(part) or isinstance(part, Cell)):
        raise UserError(f"lm.models.check takes a cell, a model, or a function that makes a model; got {kind(part)}")
    try:
        part = part() if isinstance(part, type) and issubclass(part, Cell) else part
        if isinstance(part, Cell):
            module: Any = part.layer(INPUT, HIDDEN)
        else:
            module = copy.deepcopy(part).cpu() if isinstance(part, nn.Module) else part(WORDS)
    except Exception as error:
        raise UserError(f"{name} cannot be made; it raised {type(error).__name__}: {error}") from error
    wanted: Any = RecurrentLayer if isinstance(part, Cell) else LanguageModel
    if not isinstance(module, wanted):
        raise UserError(f"{name} must make a {wanted.__name__}; it made {kind(module)}")
    expected = ("hidden_size",) if isinstance(part, Cell) else ("vocab_size", "embedding", "head", "output_dropout")
    if lacking := [f"self.{one}" for one in expected if not hasattr(module, one)]:
        raise UserError(f"{type(module).__name__} must set {', '.join(lacking)}")
    if not any(True for _ in module.parameters()):
        raise UserError(f"{type(module).__name__} must have weights, as nn.Parameter or in an nn.Module; it has none")
    if isinstance(part, Cell):
        return Layer(module)
    module.head.prepare(torch.arange(module.vocab_size, 0, -1))
    return Model(module)


def is_memory(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(part, Tensor) for part in value)


def kind(value: Any) -> str:
    """A value in words: its type, and the types in it."""
    name = type(value).__name__
    return f"{name} of {', '.join(map(kind, value)) or 'nothing'}" if isinstance(value, (tuple, list)) else name


def said(method: str, error: Exception) -> str:
    return f"`{method}` raised {type(error).__name__}: {error}"


def weighed(values: Tensor) -> Tensor:
    """A sum in which every value has a weight of its own."""
    weights = torch.arange(values.numel(), dtype=torch.float64, device=values.device).add(1).cos()
    return (values.flatten() * weights.to(values.dtype)).sum()


def gradients_of(loss: Tensor, leaves: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """The gradients of the loss, None where it does not depend on a leaf. Raises Raised if there are none to take."""
    if not leaves or not loss.requires_grad:
        return [None] * len(leaves)
    try:
        return torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        raise Raised(f"the backward pass raised {type(error).__name__}: {error}") from error


def apart(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two values differ by more than rounding, or one is not a number; None means zeros."""
    return not largest(one, other) <= CLOSE * max(1e-3, largest(other, None))


def largest(one: Tensor | None, other: Tensor | None) -> float:
    """The largest difference of two values; None means zeros."""
    if one is None or other is None:
        one, other = (one, torch.zeros(())) if one is not None else (other, torch.zeros(()))
    return 0.0 if one is None or not one.numel() else (one.double() - other.double()).abs().max().item()


def trained(subject: Subject) -> list[tuple[str, Tensor]]:
    """The weights that are trained, by name."""
    return [(name, weight) for name, weight in subject.module.named_parameters() if weight.requires_grad]


def word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
