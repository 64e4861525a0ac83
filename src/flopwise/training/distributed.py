"""Several processes that train one model, each with its share of every batch (torch's DistributedDataParallel).

The first leads: it alone knows when to go on, and tells the others the learning rate of each step or that there is
none. The others follow (:func:`flopwise.training.loop.follow`). Gradients are averaged while they are computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from flopwise.training.devices import Device

MEETING = timedelta(minutes=5)
"""How long processes wait for each other to start."""
PATIENCE = timedelta(hours=2)
"""How long a follower waits for the next step: the leader may be validating."""


class Team(Protocol):
    """Those who train one model; :class:`Alone` is the usual one.

    Attributes:
        size: Processes.
    """

    size: int

    def wrap(self, model: nn.Module) -> nn.Module:
        """The same params; gradients are averaged over the team."""
        ...

    def share(self, batch: Tensor) -> Tensor:
        """Sequences of a batch that this process computes."""
        ...

    def collecting(self, model: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Context of a forward and backward pass; gradients are exchanged in the last of a step."""
        ...

    def total(self, value: Tensor) -> Tensor:
        """Sum over the team."""
        ...

    def tell(self, lr: float | None) -> None:
        """Of the leader: the next step's learning rate; None when there is none."""
        ...

    def hear(self) -> float | None:
        """Of a follower: what the leader tells."""
        ...


class Alone:
    """One process."""

    size = 1

    def wrap(self, model: nn.Module) -> nn.Module:
        """As it is."""
        return model

    def share(self, batch: Tensor) -> Tensor:
        """All of it."""
        return batch

    def collecting(self, model: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Nothing to exchange."""
        return nullcontext()

    def total(self, value: Tensor) -> Tensor:
        """As it is."""
        return value

    def tell(self, lr: float | None) -> None:
        """Nobody hears."""

    def hear(self) -> float | None:
        """Nobody tells."""
        return None


ALONE = Alone()


class Group:
    """One of several processes, once all have met.

    Args:
        rank: 0 leads.
        size: Processes.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self._words = dist.new_group(backend="gloo", timeout=PATIENCE)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Behind DistributedDataParallel."""
        return DistributedDataParallel(model, gradient_as_bucket_view=True)

    def share(self, batch: Tensor) -> Tensor:
        """Every process gets as many sequences as the others, or one more."""
        return torch.tensor_split(batch, self.size)[self.rank]

    def collecting(self, model: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Gradients only add up here until the last pass of a step."""
        return nullcontext() if last else cast(AbstractContextManager[Any], cast(Any, model).no_sync())

    def total(self, value: Tensor) -> Tensor:
        """By all-reduce."""
        value = value.clone()
        dist.all_reduce(value)
        return value

    def tell(self, lr: float | None) -> None:
        """Over a group of its own on the CPU, which does not wait for an accelerator."""
        dist.broadcast(torch.tensor(math.nan if lr is None else lr, dtype=torch.float64), 0, group=self._words)

    def hear(self) -> float | None:
        """See :meth:`tell`."""
        word = torch.zeros((), dtype=torch.float64)
        dist.broadcast(word, 0, group=self._words)
        return None if math.isnan(float(word)) else float(word)


@contextmanager
def meet(rank: int, size: int, device: Device, meeting_place: Path) -> Iterator[Group]:
    """Wait for the other processes, and part at the end.

    Args:
        rank: Of this one; on cuda also the number of its accelerator among those of the slot.
        size: Of all.
        device: Where to train.
        meeting_place: A file that all of them can read and write and that does not exist yet.
    """
    if device.name == "cuda":
        torch.cuda.set_device(rank)
    store = dist.FileStore(str(meeting_place), size)  # type: ignore[attr-defined]
    backend = "nccl" if device.name == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=MEETING)
    try:
        yield Group(rank, size)
    finally:
        dist.destroy_process_group()
