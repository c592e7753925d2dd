"""The LSTM over a window in plain products, for training in bf16 on a processor.

Milliseconds forward and backward for a window of 30 tokens in bf16, oneDNN's kernel against this one; input of H units,
two threads (one thread), AMD EPYC (Zen 4), torch 2.13.0; no other processor with bf16 was measured:

       H    5 sequences          20 sequences          64 sequences
     256    1.9 | 3.8 (3.1 | 4.9)    3.4 | 6.3 (6.2 | 9.5)    8.6 | 15 (17 | 23)
     400    4.6 | 5.7 (7.9 | 8.1)    8.1 | 12 (15 | 19)    20 | 29 (39 | 48)
     650    14 | 11 (29 | 17)    26 | 25 (49 | 41)    60 | 63 (116 | 108)
    1150    76 | 30 (137 | 50)    144 | 66 (274 | 118)    239 | 174 (469 | 331)
    1500    140 | 57 (264 | 106)    268 | 115 (512 | 221)    426 | 295 (814 | 585)

In fp32 oneDNN is faster, by a tenth to a half, except on short windows, where it spends most of its time on copies of
the weights: 1 sequence of 5 tokens takes 7.6 | 3.8 at 1024 units with AVX512; 1 of 20 takes 11 | 10, 100 of 5 take
37 | 42.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lm.models.kernels.full_precision import product_type
from lm.models.kernels.linear import AVX512, packed, product

_sigmoid_backward: Any = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward: Any = torch.ops.aten.tanh_backward.grad_input

FEWEST_UNITS = 640
MOST_TOKENS = 8
"""From this hidden size on, in bf16 or in fp32 windows of at most so many tokens in all, `lstm_window` is taken.

It was faster wherever it was measured but for 650 units and 64 sequences with two threads, 63 ms against 60.
"""


def faster(x: Tensor, hidden_size: int) -> bool:
    """Whether `lstm_window` was measured to train faster than oneDNN's kernel on windows x [B, T, F]."""
    if x.device.type != "cpu" or hidden_size < FEWEST_UNITS:
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return AVX512 and x.dtype == torch.float32 and x.shape[0] * x.shape[1] <= MOST_TOKENS


def lstm_window(x: Tensor, h: Tensor, c: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Read a window x [B, T, F] from h and c [B, H]. Returns the outputs [B, T, H], and h and c after the last step.

    `weights` are the input and the recurrent matrix, [4 H, F] and [4 H, H], and their biases [4 H], gates in torch's
    order. Under autocast the products are in its type, as are the outputs and h; all between is in the weights' type.
    """
    low = product_type(weights[0])
    with torch.autocast(x.device.type, enabled=False):
        outputs, last = _Window.apply(x, h, c, *weights, low)
    return outputs, outputs[:, -1], last


class _Window(torch.autograd.Function):
    """Each step has one product, the rest is pointwise: small enough to stay in the processor's cache.

    The products of the input, and in the backward pass those for the gradients of the matrices, are one for all steps.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, c: Tensor, *weights: Any) -> tuple[Tensor, Tensor]:
        into, recurrent, bias, recurrent_bias, low = weights
        (rows, steps, _), size, wide = x.shape, h.shape[-1], into.dtype
        into, recurrent = into.to(low), recurrent.to(low)
        x_by_step = x.transpose(0, 1).to(low).flatten(0, 1)  # T * B, F
        gates = torch.empty(steps, rows, 4 * size, dtype=wide)
        torch.add(product(x_by_step, into).view_as(gates), bias + recurrent_bias, out=gates)
        cells, tanh_c = torch.empty(steps + 1, rows, size, dtype=wide), torch.empty(steps, rows, size, dtype=wide)
        outputs, at_step = torch.empty(steps + 1, rows, size, dtype=low), packed(recurrent, rows, steps)
        cells[0], outputs[0] = c, h
        i, f, g, o = (part.unbind(0) for part in gates.chunk(4, dim=-1))
        for t in range(steps):
            gates[t].add_(at_step(outputs[t]))
            for gate in (i[t], f[t], o[t]):
                gate.sigmoid_()
            g[t].tanh_()
            torch.mul(f[t], cells[t], out=cells[t + 1]).addcmul_(i[t], g[t])
            torch.mul(o[t], torch.tanh(cells[t + 1], out=tanh_c[t]), out=outputs[t + 1])
        ctx.save_for_backward(x_by_step, gates, cells, tanh_c, outputs, into, recurrent)
        ctx.types = x.dtype, h.dtype, c.dtype
        return outputs[1:].transpose(0, 1), cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_outputs, of_last = gradients  # [B, T, H] and [B, H]
        x_by_step, gates, cells, tanh_c, outputs, into, recurrent = ctx.saved_tensors
        (steps, rows, size), wide = tanh_c.shape, cells.dtype
        of_gates = outputs.new_empty(steps, rows, 4 * size)
        of_gate = torch.empty(rows, 4 * size, dtype=wide)  # of one step, before it is rounded
        at_step = packed(recurrent.t(), rows, steps)
        of_h, of_c = torch.zeros_like(outputs[0]), of_last.to(wide, copy=True)
        i, f, g, o = (part.unbind(0) for part in gates.chunk(4, dim=-1))
        of_i, of_f, of_g, of_o = of_gate.chunk(4, dim=-1)
        of_out, part = (torch.empty(rows, size, dtype=wide) for _ in range(2))
        for t in reversed(range(steps)):
            of_out.copy_(of_outputs[:, t]).add_(of_h)  # torch.add would round the sum of two bf16 to bf16
            _sigmoid_backward(torch.mul(of_out, tanh_c[t], out=part), o[t], grad_input=of_o)
            of_c += _tanh_backward(torch.mul(of_out, o[t], out=part), tanh_c[t], grad_input=part)
            _sigmoid_backward(torch.mul(of_c, g[t], out=part), i[t], grad_input=of_i)
            _sigmoid_backward(torch.mul(of_c, cells[t], out=part), f[t], grad_input=of_f)
            _tanh_backward(torch.mul(of_c, i[t], out=part), g[t], grad_input=of_g)
            of_c *= f[t]
            of_h = at_step(of_gates[t].copy_(of_gate))
        flat = of_gates.flatten(0, 1)  # T * B, 4 H
        x_type, h_type, c_type = ctx.types
        to_x, _, _, to_into, to_recurrent, *to_biases = ctx.needs_input_grad[:7]
        of_bias = flat.sum(0, dtype=wide) if any(to_biases) else None
        return (
            product(flat, into.t()).view(steps, rows, -1).transpose(0, 1).to(x_type) if to_x else None,
            of_h.to(h_type),
            of_c.to(c_type),
            product(flat.t(), x_by_step.t()).to(wide) if to_into else None,
            product(flat.t(), outputs[:-1].flatten(0, 1).t()).to(wide) if to_recurrent else None,
            of_bias,
            of_bias,
            None,
        )
