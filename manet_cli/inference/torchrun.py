"""The processes of torchrun: identify this one, and connect to the others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from manet_cli.errors import UsageError

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

__all__ = ["Process", "meet", "started_by_torchrun", "this_process"]

_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")


@dataclass(frozen=True)
class Process:
    """One of the processes of a run.

    Attributes:
        rank: number of the process, from 0 to ``size - 1``.
        size: number of processes.
        local_rank: number of the process on its machine, from 0.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0


def started_by_torchrun() -> bool:
    """Whether all of torchrun's variables are set; clusters set some of them too."""
    return all(name in os.environ for name in _VARIABLES)


def this_process() -> Process:
    """Return this process; a single one if ``WORLD_SIZE`` is 1 or not set.

    Raises:
        UsageError: the variables are invalid.
    """
    size = _number("WORLD_SIZE", 1, least=1)
    if size == 1:
        return Process()
    return Process(_number("RANK", 0, most=size - 1), size, _number("LOCAL_RANK", 0, most=size - 1))


def meet(timeout: timedelta) -> Store:
    """Connect to the other processes at the address in the variables, and return the shared store.

    Args:
        timeout: the longest wait, here and in the store.

    Raises:
        RuntimeError: the other processes cannot be reached.
        ValueError: the address is missing or invalid.
    """
    from torch.distributed.rendezvous import rendezvous

    store: Store
    store, _, _ = next(rendezvous("env://", timeout=timeout))
    return store


def _number(variable: str, otherwise: int, *, least: int = 0, most: int | None = None) -> int:
    text = os.environ.get(variable, str(otherwise))
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least or (most is not None and number > most):
        bounds = f"from {least}" if most is None else f"from {least} to {most}"
        raise UsageError(f"{variable}={text}: expected a whole number {bounds}, as torchrun sets it")
    return number
