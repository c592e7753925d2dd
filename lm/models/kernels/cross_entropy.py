"""A linear layer and the cross-entropy of its logits in one operation, for training on a processor."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lm.models.kernels.full_precision import at_least_fp32, product_type
from lm.models.kernels.linear import linear, product

BLOCK = 2**18
"""Logits that are normalised at a time: few enough to stay in the processor's cache in fp32."""


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """The loss of each target in nats: hidden [..., H], weight [V, H], bias [V], targets [...] -> [...].

    Products and the gradient of the logits are in autocast's type, all between in at least float32, as with torch's
    operations. But the logits are never stored in fp32: the forward pass turns them into their gradient where they are.
    In bf16 a logit takes 2 bytes instead of up to 10; the time is the same at 10,000 and 50,000 words.
    """
    device, rows, words = hidden.device.type, hidden.flatten(0, -2), targets.flatten()
    if device != "cpu" or not torch.is_grad_enabled():
        logits = at_least_fp32(linear(rows, weight, bias))
        return F.cross_entropy(logits, words, reduction="none").view(targets.shape)
    low = product_type(weight)
    with torch.autocast(device, enabled=False):
        nats: Tensor = _LinearCrossEntropy.apply(rows, weight, bias, words, low)
    return nats.view(targets.shape)


class _LinearCrossEntropy(torch.autograd.Function):
    """The gradient of a token's logits is p - 1 at the target and p elsewhere, times the gradient of its loss.

    Only p is kept in the type of the products. Next to a target's row of weights, a sum over all other words would be
    lost in rounding, for many tokens in the same way; so targets are treated apart, in the type of the weights.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, low: Any) -> Tensor:
        x, matrix = hidden.to(low), weight.to(low)
        logits, at = product(x, matrix), targets.unsqueeze(1)  # N, V and N, 1
        losses = []
        rows, wide = max(1, BLOCK // len(weight)), torch.promote_types(weight.dtype, torch.float32)
        for block, words in zip(logits.split(rows), at.split(rows), strict=True):
            found = torch.log_softmax(block.to(wide).add_(bias), dim=-1)
            losses.append(-found.gather(1, words))
            block.copy_(found.exp_().scatter_(1, words, 0))
        nats = torch.cat(losses)  # N, 1
        ctx.save_for_backward(x, matrix, logits, targets, torch.expm1(-nats), weight)
        ctx.hidden_type = hidden.dtype
        return nats.squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_nats = gradients[0].unsqueeze(1)  # N, 1
        x, matrix, others, targets, of_target, weight = ctx.saved_tensors
        to_hidden, to_weight, to_bias, *_ = ctx.needs_input_grad
        wide, of_target = of_nats.dtype, of_target * of_nats
        of_hidden = of_weight = of_bias = None
        if to_hidden:
            near = product(others, matrix.t()).to(wide) * of_nats
            of_hidden = near.addcmul_(of_target, weight[targets].to(wide)).to(ctx.hidden_type)
        # In the next products the smaller factor is multiplied by the gradients of the losses.
        if to_weight:
            of_weight = product(others.t(), (x * of_nats).to(x.dtype).t()).to(wide)
            of_weight = of_weight.index_add_(0, targets, x * of_target).to(weight.dtype)
        if to_bias:
            # Usually all losses have one gradient: rounded as it is, it would be wrong for all of them in the same way.
            scale = of_nats.abs().amax().clamp_min(torch.finfo(wide).tiny)
            of_bias = (others.t() @ (of_nats / scale).to(x.dtype)).squeeze(1).to(wide) * scale
            of_bias = of_bias.index_add_(0, targets, of_target.squeeze(1)).to(weight.dtype)
        return of_hidden, of_weight, of_bias, None, None
