"""Training with several ranks: how many there are, and Lightning's part of it."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor
from torch.distributed import ReduceOp

from lm.config.schemas import Accelerator
from lm.system.devices import device
from lm.system.errors import UserError
from lm.system.launched import launched
from lm.system.ranks import Ranks

AUTO = "auto"


def number_of_ranks(asked: Accelerator) -> tuple[int, bool]:
    """How many processes train the run, and whether they use cards (else the processor).

    Raises UserError if this machine has too few cards, or torchrun or srun started another number of processes.
    """
    place, cards, kind = launched(), torch.cuda.device_count(), asked.accelerator
    if not asked.data_parallel:
        if place:
            raise UserError(
                f"{place.by} started {place.size} processes, and each would train the same run: add accelerator=ddp"
            )
        return 1, False
    if kind not in (AUTO, "cpu", "gpu", "cuda"):
        raise UserError(f"accelerator={kind} is a single device: choose accelerator.devices=1")
    on_cards = device("cpu" if kind == AUTO and cards == 0 else "gpu" if kind == AUTO else kind).type == "cuda"
    if asked.devices == AUTO and not place and not on_cards:
        raise UserError("accelerator.devices=auto counts cards; on the processor, say how many processes: a number")
    here = asked.devices if asked.devices != AUTO else place.local_size if place else cards
    if on_cards and here > cards and not (place and cards == 1):  # srun may show each process its own card only
        raise UserError(f"accelerator.devices={here}: the cards that PyTorch finds here are {cards}; ask for fewer")
    if place and asked.devices != AUTO and here * asked.nodes != place.size:
        raise UserError(
            f"{place.by} started {place.size} processes, but accelerator.devices={here} on accelerator.nodes="
            f"{asked.nodes} are {here * asked.nodes}; leave these settings out, or start as many"
        )
    if not place and asked.nodes > 1:
        raise UserError(
            f"accelerator.nodes={asked.nodes}: start the command on each machine with torchrun or srun: docs/scale.md"
        )
    return (place.size if place else here), on_cards


class Company(ClusterEnvironment):
    """Tells Lightning which rank this process is. The ranks are connected already, so there is no address to give."""

    creates_processes_externally, main_address, main_port = True, "", 0

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self.ranks = ranks

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.ranks.size

    def global_rank(self) -> int:
        return self.ranks.rank

    def local_rank(self) -> int:
        return self.ranks.local_rank

    def node_rank(self) -> int:
        return self.ranks.rank - self.ranks.local_rank  # 0 on the first machine only, which is all that is asked

    def set_world_size(self, size: int) -> None:
        pass

    def set_global_rank(self, rank: int) -> None:
        pass


class SharedColumns(DDPStrategy):
    """Lightning's data parallelism, without its wrapper around the model.

    That wrapper expects one backward pass in a step; an update per token goes backward at each token. The module itself
    averages the gradients of each update (`Ranks.average_gradients`).
    """

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(cluster_environment=Company(ranks))
        self.ranks = ranks

    @property
    def root_device(self) -> torch.device:
        return ranks_device(self.ranks)

    def _configure_launcher(self) -> None:
        """No launcher: the processes are there, and Lightning's would change the number of threads."""

    def setup_distributed(self) -> None:
        self.set_world_ranks()

    def configure_ddp(self) -> None:
        pass

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        self.ranks.wait()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        return self.ranks.from_first(obj)

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        if not isinstance(tensor, Tensor):
            return tensor
        return self.ranks.total(tensor) if reduce_op in ("sum", ReduceOp.SUM) else self.ranks.mean(tensor.float())


def ranks_device(ranks: Ranks) -> torch.device:
    """The device of one of several ranks."""
    return torch.device("cuda", ranks.card) if ranks.on_cards else torch.device("cpu")


def leave_signals_to_us(trainer: Any) -> None:
    """Let Lightning neither handle signals nor exchange them: it does so in a handler, on one rank only."""
    trainer._signal_connector.register_signal_handlers = lambda: None
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None


def for_trainer(asked: Accelerator, ranks: Ranks) -> dict[str, Any]:
    """The arguments of Lightning's Trainer for a run's ranks. The precision is not among them."""
    if ranks.size == 1:
        strategy = AUTO if asked.strategy == "ddp" else asked.strategy
        return {"accelerator": asked.accelerator, "devices": 1, "strategy": strategy}
    place = launched()
    here = place.local_size if place else ranks.size
    return {
        "accelerator": "gpu" if ranks.on_cards else "cpu",
        "devices": min(here, torch.cuda.device_count()) if ranks.on_cards else here,
        "num_nodes": ranks.size // here,
        "strategy": SharedColumns(ranks),
        "use_distributed_sampler": False,
    }
