"""On a GPU: the forward and backward passes of a window, recorded once as a CUDA graph and then replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lm.data.streams import Window
from lm.models.cells.gru import GRULayer
from lm.models.cells.lstm import LSTMLayer
from lm.models.cells.min_gru import MinGRULayer
from lm.models.cells.min_lstm import MinLSTMLayer
from lm.models.cells.mogrifier import MogrifierLayer
from lm.models.cells.qrnn import QRNNLayer
from lm.models.cells.rnn import RNNLayer
from lm.models.cells.slstm import SLSTMLayer
from lm.models.heads.mixture_of_softmaxes import MixtureHead
from lm.models.heads.softmax import SoftmaxHead
from lm.models.interfaces import LanguageModel, State, detach, mapped, tensors_of
from lm.models.recurrent_language_model import RecurrentLanguageModel

Forward = Callable[[Window, State], tuple[Tensor, Tensor, State]]
"""From a window and a state: the loss in nats per token, the loss to minimise, and the state after the window."""

LAYERS = (GRULayer, LSTMLayer, MinGRULayer, MinLSTMLayer, MogrifierLayer, QRNNLayer, RNNLayer, SLSTMLayer)
HEADS = (SoftmaxHead, MixtureHead)
"""Parts whose operations are the same for any words. Others, parts of one's own too, may choose theirs by the words."""

WARM_UP = 2
"""Windows that are read before one is recorded: cuDNN and cuBLAS choose their kernels there."""


def recordable(model: LanguageModel) -> bool:
    """Whether all operations on a window are the same for any words and states of one shape."""
    if type(model) is not RecurrentLanguageModel:
        return False
    return type(model.head) in HEADS and all(type(layer) in LAYERS for layer, _ in model.cells)


class Recorded(NamedTuple):
    graph: torch.cuda.CUDAGraph
    window: Window
    loss: Tensor


class RecordedWindows:
    """Computes loss and gradients of a window by one launch instead of hundreds.

    On an H100 the kernels of a window of the classic exercise take 1.1 ms, but the processor needs 5 ms to launch them.
    A window is recorded when its shape first comes. All recordings read and write the same weights, gradients and
    state, so the state that `run` returns changes at the next call.

    Args:
        model: the trained model; it must be `recordable`.
        forward: the forward pass. It may draw random numbers.
    """

    def __init__(self, model: LanguageModel, forward: Forward) -> None:
        self._model, self._forward = model, forward
        self._state: State = []
        self._gradients: list[tuple[torch.nn.Parameter, Tensor]] = []
        self._recorded: dict[torch.Size, Recorded] = {}
        self._pool = torch.cuda.graph_pool_handle()  # the memory between the passes, one for all recordings

    def run(self, window: Window, state: State) -> tuple[Tensor, State]:
        """The loss in nats per token and the state after the window; gradients are left in the weights' `grad`.

        No stream may begin again within the window, after its first token.
        """
        if not self._state:
            self._state = mapped(detach(state), Tensor.clone)
        for weight, gradient in self._gradients:  # also before a recording: the last window may have run without one
            weight.grad = gradient
        shape = window.inputs.shape
        if shape not in self._recorded:
            nowhere = np.zeros_like(window.reset)
            self._recorded[shape] = self._record(Window(window.inputs.clone(), window.targets.clone(), nowhere))
        recorded = self._recorded[shape]
        recorded.window.inputs.copy_(window.inputs)
        recorded.window.targets.copy_(window.targets)
        for held, part in zip(tensors_of(self._state), tensors_of(state), strict=True):
            if part is not held:
                held.copy_(part.detach())
        recorded.graph.replay()
        return recorded.loss.clone(), self._state

    def _record(self, window: Window) -> Recorded:
        device = window.inputs.device
        drawn = torch.cuda.get_rng_state(device)
        if not self._gradients:
            self._model.zero_grad()
        apart, now = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        apart.wait_stream(now)
        with torch.cuda.stream(apart):
            for _ in range(WARM_UP):
                self._both(window, mapped(self._state, Tensor.clone))
        now.wait_stream(apart)
        if not self._gradients:
            self._gradients = [(weight, weight.grad) for weight in self._model.parameters() if weight.grad is not None]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            loss = self._both(window, self._state)
        torch.cuda.set_rng_state(drawn, device)  # a resumed run records again, and must draw the same numbers
        return Recorded(graph, window, loss)

    def _both(self, window: Window, state: State) -> Tensor:
        """Both passes; the state is overwritten by the one at the end."""
        torch.clear_autocast_cache()  # what it holds belongs to other passes
        if self._gradients:
            torch._foreach_zero_([gradient for _, gradient in self._gradients])
        self._model.begin_window()
        loss, minimised, after = self._forward(window, state)
        with torch.autocast("cuda", enabled=False):
            minimised.backward()
        for held, part in zip(tensors_of(state), tensors_of(detach(after)), strict=True):
            held.copy_(part)
        torch.clear_autocast_cache()
        return loss.detach()
