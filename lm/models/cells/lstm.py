"""The LSTM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lm.models.cells.cell import Memory, RecurrentLayer
from lm.models.cells.gated import Gated, GatedLayer
from lm.models.kernels.cudnn import Kernel
from lm.models.kernels.lstm_window import faster, lstm_window
from lm.system.errors import UserError


@dataclass(frozen=True)
class LSTM(Gated):
    """The LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000).

    Args:
        weight_dropout: see `Gated`.
        state_dropout: see `Gated`. The window is then read step by step, without torch's fused kernel.
        forget_bias: added to torch's initial bias of the forget gate (Jozefowicz et al. 2015 recommend 1).
    """

    forget_bias: float = 0.0

    def layer(self, input_size: int, hidden_size: int) -> RecurrentLayer:
        return LSTMLayer(input_size, hidden_size, self, self.forget_bias)


class LSTMLayer(GatedLayer):
    """One LSTM layer; memory (h, c), each [B, H]; gates in torch's order: input, forget, candidate, output.

    `window` uses torch's fused kernel or, in training, `lstm_window`; both with or without weight dropout.
    """

    gates: ClassVar[int] = 4
    recurrence = "auto"
    """How windows are read in training on a CPU: see `choose_recurrence`."""

    def first(self, batch_size: int) -> Memory:
        return (*super().first(batch_size), *super().first(batch_size))

    def window(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        own = self.recurrence == "own" or (self.recurrence == "auto" and faster(x, self.hidden_size))
        if not own or self.state_dropout.active or not torch.is_grad_enabled() or x.device.type != "cpu":
            return super().window(x, memory)
        h, c = memory
        outputs, h, c = lstm_window(x, h, c, self.weights())
        return outputs, (h, c)

    def kernel(self, x: Tensor) -> Kernel:
        return torch.lstm

    def advance(self, of_input: Tensor, of_state: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        i, f, g, o = (of_input + of_state).chunk(4, dim=-1)
        c = f.sigmoid() * memory[1] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)


def check_recurrence(recurrence: str, device: str) -> None:
    """Raise UserError for a choice other than "auto" on a device, a torch device type, that has only one way."""
    if device != "cpu" and recurrence != "auto":
        raise UserError(
            f"accelerator.recurrence={recurrence} is for the CPU; this run is on {device}: leave it at auto, or choose "
            "accelerator=cpu"
        )


def choose_recurrence(model: nn.Module, recurrence: str) -> None:
    """Choose how all LSTM layers of a model read windows in training on a CPU.

    "own": by `lm.models.kernels.lstm_window`; "onednn": by torch's kernel; "auto": by the one that was measured to be
    faster at this size and precision. Raises UserError for another choice than "auto" if no layer can use it.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, LSTMLayer) and layer.state_dropout.p == 0]
    if recurrence != "auto" and not layers:
        raise UserError(
            f"accelerator.recurrence={recurrence} is for LSTM layers without model.cell.state_dropout, and this model "
            "has none: leave it at auto"
        )
    for layer in layers:
        layer.recurrence = recurrence
