"""The processes that train one run together (ranks), and what they tell each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from lm.system.errors import UserError

T = TypeVar("T")


class LostRank(UserError):
    """Another rank has ended early; the message says which and why, as far as this rank knows."""


class Ranks:
    """The ranks of a run, as one of them sees them. Rank 0 writes the run's folder; each trains on a share of a batch.

    All ranks must call the methods that exchange values in the same order. They raise LostRank if another rank has
    ended. Alone (`size` 1), they return what a single process has. Small values are exchanged by the processors, so
    that nothing waits for a card; gradients by the cards.

    Args:
        rank: the number of this process.
        size: how many there are.
        local_rank: the number of this process among those on this machine.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0, on_cards: bool = False) -> None:
        self.rank, self.size, self.local_rank, self.on_cards = rank, size, local_rank, on_cards

    def connect(self) -> None:
        """Meet the other ranks, at the first call; every exchange calls it."""

    def why_lost(self) -> str:
        """Which rank has ended and why, after an exchange has failed."""
        return "the connection to another rank is lost"

    def check(self) -> None:
        """Raise LostRank if another rank is known to have ended, without an exchange."""

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def card(self) -> int:
        """The number of this rank's card: the only one that it sees, or that of its place on the machine."""
        return 0 if torch.cuda.device_count() == 1 else self.local_rank

    def share(self, columns: int) -> slice:
        """The columns of a batch that this rank reads. Raises UserError if they cannot be shared out equally."""
        if columns % self.size:
            raise UserError(
                f"data.batch_size={columns} cannot be shared by {self.size} processes: choose a multiple of {self.size}"
            )
        own = columns // self.size
        return slice(own * self.rank, own * (self.rank + 1))

    def from_first(self, value: T) -> T:
        """Rank 0's value, on all ranks."""
        if self.size == 1:
            return value
        held: list[Any] = [value]
        with self._exchange():
            dist.broadcast_object_list(held, src=0)
        return held[0]  # type: ignore[no-any-return]

    def of_all(self, value: T) -> list[T]:
        """The values of all ranks, in their order."""
        if self.size == 1:
            return [value]
        held: list[Any] = [None] * self.size
        with self._exchange():
            dist.all_gather_object(held, value)
        return held

    def wait(self) -> None:
        """Wait until all ranks have come to this place."""
        self.largest([0])

    def largest(self, values: Iterable[int]) -> list[int]:
        """For each of several whole numbers, the largest of all ranks."""
        found = torch.tensor([*values])
        if self.size > 1:
            with self._exchange():
                dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return [int(value) for value in found]

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all ranks; each has one of the same shape."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        with self._exchange():
            dist.all_reduce(total)
        return total

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all ranks; each has one of the same shape."""
        return self.total(value) / self.size if self.size > 1 else value

    def average_gradients(self, weights: Iterable[Tensor]) -> None:
        """Replace each weight's gradient by its mean over all ranks.

        A weight that no rank used keeps no gradient; to one that only some used, the others add zero.
        """
        if self.size == 1:
            return
        trained = [weight for weight in weights if weight.requires_grad]
        used = self.largest(weight.grad is not None for weight in trained)
        gradients = []
        for weight, somewhere in zip(trained, used, strict=True):
            if somewhere:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad.contiguous()
                gradients.append(weight.grad)
        with self._exchange():
            for work in [dist.all_reduce(gradient, async_op=True) for gradient in gradients]:
                work.wait()
        torch._foreach_div_(gradients, self.size)

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        self.connect()
        try:
            yield
        except RuntimeError as error:  # of gloo or nccl: a connection is closed
            raise LostRank(self.why_lost()) from error


ALONE = Ranks()
