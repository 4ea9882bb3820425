"""Training with several processes: their ranks, and values shared by all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import Store

from manet_cli.errors import Parameter, TrainingError
from manet_cli.inference.torchrun import meet, this_process
from manet_cli.training.batches import Shard

__all__ = ["World", "join_world"]

_TIMEOUT = timedelta(hours=1)  # the others wait while the first process decodes photos or validates

_CONNECTION_WORDS = ("gloo", "NCCL", "Connection closed", "Connection reset")


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: number of this process.
        size: number of processes.
        local_rank: number of this process on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    _control: dist.ProcessGroup | None = None
    _store: Store | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    @property
    def shard(self) -> Shard:
        """The part of every batch for this process."""
        return Shard(self.rank, self.size)

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier(group=self._control)

    def largest(self, values: list[float]) -> list[float]:
        """Return the largest of each value over all processes, without touching the device."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def mean(self, values: list[float]) -> list[float]:
        """Return the mean of each value over all processes, without touching the device."""
        return [value / self.size for value in self._reduced(values, dist.ReduceOp.SUM)]

    def mean_tensor(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes, on its device and without waiting for it."""
        if self.size == 1:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total / self.size

    def leave(self) -> None:
        """Wait until all processes are done; afterwards they must not communicate.

        Without this wait, a process that ends closes its connections while another still handles the last
        exchange, and the other one reports a lost process.
        """
        if self._store is None:
            return
        # The first process may host the store, so it must end last.
        with suppress(dist.DistError):
            if self._store.add("left", 1) == self.size:
                self._store.set("all left", "")
            self._store.wait(["all left"], _TIMEOUT)

    def _reduced(self, values: list[float], how: dist.ReduceOp.RedOpType) -> list[float]:
        if self.size == 1:
            return values
        numbers = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(numbers, how, group=self._control)
        result: list[float] = numbers.tolist()
        return result


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Join the processes of torchrun; without torchrun, a world of one process.

    Args:
        device: type of the run's device.

    Raises:
        UsageError: torchrun's variables are invalid.
        TrainingError: the other processes cannot be reached, at the start or inside the block.
    """
    process = this_process()
    rank, size = process.rank, process.size
    if size == 1:
        yield World()
        return
    try:
        store = meet(_TIMEOUT)
        backend = "nccl" if device == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
        control = dist.new_group(backend="gloo", timeout=_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise _lost_process() from error
    try:
        yield World(rank, size, process.local_rank, control, store)
    except RuntimeError as error:
        if any(word in str(error) for word in _CONNECTION_WORDS):
            raise _lost_process() from error
        raise
    # Not after an error: NCCL would wait for steps that this process never finishes.
    dist.destroy_process_group()


def _lost_process() -> TrainingError:
    """Return the error for a lost process of the run."""
    return TrainingError(
        "another process of this run ended or cannot be reached: see its message, then continue with ",
        Parameter("resume", True),
    )
