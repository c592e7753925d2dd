"""One step of a language model with its state as plain tensors, for programs that know no lists of tuples."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lm.models.interfaces import LanguageModel, State, tensors_of


class OneStep(nn.Module):
    """Maps tokens [B] and the state's tensors to log-probabilities of the next word [B, V] and the next tensors."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model
        self.shape = [len(layer) for layer in model.initial_state(1)]

    def forward(self, tokens: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        hidden, after = self.model.step(tokens, self.state(state))
        return self.model.head.logits(hidden).float().log_softmax(dim=-1), *tensors_of(after)

    def state(self, parts: Sequence[Tensor]) -> State:
        """The state that consists of these tensors."""
        rest = iter(parts)
        return [tuple(next(rest) for _ in range(count)) for count in self.shape]
