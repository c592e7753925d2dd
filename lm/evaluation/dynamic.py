"""Dynamic evaluation: the weights learn from each part of the text after it is scored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lm.data.streams import Window, Windows, one_stream
from lm.evaluation.evaluator import Reader, number
from lm.evaluation.gradient_statistics import kept, key_of
from lm.evaluation.reading import Reading, device_of, read_stream, token_nats
from lm.models.interfaces import LanguageModel, State, detach
from lm.system.bounds import PROBABILITY, Above, AtLeast, Count
from lm.system.errors import UserError
from lm.system.terminal import bar, say

Weights = list[nn.Parameter]


@dataclass(frozen=True)
class Dynamic(Reader):
    """Dynamic evaluation (Krause et al. 2018): after each window is scored, every weight w is updated.

        w <- w + pull (w_trained - w) - rate gradient

    `gradient` is the gradient of the window's mean nats. With `rule="rms"`, rate = lr / (rms + epsilon) and
    pull = min(1, decay rms / mean rms). rms is the root mean square of a weight's gradient over the training text.
    mean rms is the mean over all parameter tensors of each tensor's mean rms. With `rule="sgd"`, rate = lr and
    pull = decay. Dropout is off.

    Args:
        window: tokens scored before each update.
        lr: learning rate. 0 updates no weights, so it is the standard evaluation.
        decay: strength of the pull towards the trained weights.
        epsilon: added to rms in the formula of the rate.
        rule: "rms" or "sgd": how rate and pull are computed.
        streams: number of parallel streams in which the training text is read, to compute rms.
        statistics_windows: number of windows of the training text that are read to compute rms (null: all).
        adapt: "window": an update after each `window` tokens; "sentence": after each whole sentence (van Schijndel &
            Linzen 2018).
        reset: set the state to its first value before each sentence.
        eos: the id of `<eos>`, which ends a sentence (`Vocab.eos`).
    """

    window: Count = 5
    lr: Annotated[float, AtLeast(0)] = 5e-5
    decay: Annotated[float, PROBABILITY] = 0.002
    epsilon: Annotated[float, Above(0)] = 2e-5
    rule: Literal["rms", "sgd"] = "rms"
    streams: Count = 100
    statistics_windows: Count | None = None
    adapt: Literal["window", "sentence"] = "window"
    reset: bool = False
    eos: int | None = None

    name: ClassVar[str] = "dynamic"
    changes_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reset and self.adapt != "sentence":
            raise UserError(
                "evaluator.reset=true is of the state before each sentence: choose evaluator.adapt=sentence"
            )

    def read(self, model: LanguageModel, ids: np.ndarray) -> Iterator[Reading]:
        if self.lr == 0 and not self.reset:
            yield from read_stream(model, ids, temperature=number(self.temperature))
            return
        learner, state = Learner(self, model), model.initial_state(1)
        for window in self._windows(ids):
            reading, state = learner.learn(window, state)
            yield Reading(window.targets[0], reading.nats[0], reading.hidden[0])

    def _windows(self, ids: np.ndarray) -> Iterator[Window]:
        """The parts of a text between two updates."""
        stream = one_stream(ids, self.window)
        if self.adapt == "window":
            yield from stream
            return
        if self.eos is None:
            raise UserError("evaluator.adapt=sentence needs to know where sentences end: give `eos`, as Vocab.eos")
        ends = (np.flatnonzero(np.asarray(ids)[1:] == self.eos) + 1).tolist()
        for first, end in pairwise(sorted({0, *ends, len(ids) - 1})):
            window = stream.piece(first, end)
            window.reset[:, 0] |= self.reset
            yield window

    def _learn(
        self, model: LanguageModel, weights: Weights, window: Window, state: State | None
    ) -> tuple[Reading, tuple[Tensor, ...], State]:
        """Read one window [B, T]. Returns its words with nats, the gradients of its mean nats, and the new state."""
        device = device_of(model)
        with _differentiable():
            state = state or model.initial_state(len(window.inputs))
            hidden, state = model(window.inputs.to(device), state, window.reset)
            nats = token_nats(model.head, hidden, window.targets.to(device), number(self.temperature))
            # A window may not use every weight: for example the rare words of an adaptive softmax.
            gradients = torch.autograd.grad(nats.mean(), weights, allow_unused=True, materialize_grads=True)
        return Reading(window.targets, nats.detach(), hidden.detach()), gradients, detach(state)

    def _cause(self, model: LanguageModel, reading: Reading, updates: int) -> str:
        """Why a reading's nats are not finite, after so many updates of the weights."""
        temperature = f"evaluator.temperature={self.temperature}"
        if updates and number(self.temperature) >= 1:
            return "the weights diverged; lower evaluator.lr, or raise evaluator.decay"
        if updates:
            return f"the nats are not finite after update {updates}; lower evaluator.lr, or raise {temperature}"
        with torch.inference_mode():
            plain = token_nats(model.head, reading.hidden, reading.words.to(reading.hidden.device), 1.0)
        if plain.isfinite().all():
            return f"the nats are not finite with {temperature}; choose a value closer to 1"
        return "the nats are not finite before the first update: the model's own weights are too large"

    def _rates_and_pulls(self, model: LanguageModel, weights: Weights) -> tuple[list[Tensor], list[Tensor]]:
        """The learning rate of each weight, and the fraction by which an update moves it back to its trained value."""
        if self.rule == "sgd":
            rate, pull = (weights[0].new_tensor(value) for value in (self.lr, self.decay))
            return [rate] * len(weights), [pull] * len(weights)
        rms = self._root_mean_squares(model, weights)
        mean = torch.stack([part.mean() for part in rms]).mean()
        if not (mean.isfinite() and mean > 0):
            raise UserError(
                f"evaluator.rule=rms: the root mean square of the gradients of the training text is {float(mean):g} in "
                f"float32, with evaluator.temperature={self.temperature}; choose a temperature closer to 1, or "
                "evaluator.rule=sgd with an lr of its own"
            )
        pulls = [(self.decay * part / mean).clamp(max=1) for part in rms]
        return [self.lr / (part + self.epsilon) for part in rms], pulls

    def _root_mean_squares(self, model: LanguageModel, weights: Weights) -> list[Tensor]:
        """The root mean square of each weight's gradient over the training text; an earlier call's if kept."""
        ids = self.split("train", "evaluator.rule=rms", "or choose evaluator.rule=sgd with an lr of its own")
        settings = self.window, self.streams, self.statistics_windows, number(self.temperature)
        return kept(key_of(model, ids, settings), weights, lambda: self._measure(model, weights, ids))

    def _measure(self, model: LanguageModel, weights: Weights, ids: np.ndarray) -> list[Tensor]:
        streams = max(1, min(self.streams, len(ids) // (self.window + 1)))
        windows = Windows(ids, streams, self.window, "train", keep_last=True)
        count = min(len(windows), self.statistics_windows or len(windows))
        if count < len(windows):
            say(f"gradient statistics: from {count:,} of the {len(windows):,} windows of the training text")
        squares = [torch.zeros_like(weight, requires_grad=False) for weight in weights]
        state: State | None = None
        with bar("gradient statistics", count, "window") as progress:
            for window in islice(windows, count):
                _, gradients, state = self._learn(model, weights, window, state)
                with torch.no_grad():
                    for square, gradient in zip(squares, gradients, strict=True):
                        square.addcmul_(gradient, gradient)
                progress.update()
        return [square.div_(count).sqrt_() for square in squares]


class Learner:
    """A model whose weights learn from each part of a text, by the settings of `Dynamic`.

    The model's weights change: see `lm.evaluation.reading.unchanged`. Raises UserError if all weights are frozen.
    """

    def __init__(self, settings: Dynamic, model: LanguageModel) -> None:
        self.settings, self.model, self.updates = settings, model, 0
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        if not self.weights:
            raise UserError("evaluator=dynamic: all weights of this model are frozen; use evaluator=static")
        self.trained = [weight.detach().clone() for weight in self.weights]
        self.rates, self.pulls = settings._rates_and_pulls(model, self.weights)

    def learn(self, window: Window, state: State) -> tuple[Reading, State]:
        """Read a window, then update the weights. Returns its words and nats [1, T] before the update, and the state.

        Raises UserError if the nats are not finite.
        """
        reading, gradients, state = self.settings._learn(self.model, self.weights, window, state)
        if not reading.nats.isfinite().all():
            raise UserError(f"evaluator=dynamic: {self.settings._cause(self.model, reading, self.updates)}")
        parts = zip(self.weights, self.trained, gradients, self.rates, self.pulls, strict=True)
        with torch.no_grad():
            for weight, before, gradient, rate, pull in parts:
                weight.lerp_(before, pull).addcmul_(gradient, rate, value=-1)
        self.updates += 1
        return reading, state


@contextmanager
def _differentiable() -> Iterator[None]:
    """Enable gradients in evaluation mode. cuDNN is off: its LSTM computes gradients in training mode only."""
    with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        yield
