"""Share the pictures of a run among the processes of a ``torchrun``.

The processes run on one machine, or on several that see the same folders. Each makes the same plan. A counter
in torchrun's store gives the next picture, so a fast process takes more. Results go through the store too:
the first process prints all.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import torch

from manet_cli import errors
from manet_cli.errors import ManetError, Parameter, UsageError
from manet_cli.evaluation.self_check import Agreement
from manet_cli.inference.torchrun import meet, started_by_torchrun, this_process
from manet_cli.jobs.upscale.checks import CheckReport
from manet_cli.jobs.upscale.plan import Item
from manet_cli.jobs.upscale.result import Result

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

__all__ = ["Fleet", "join_fleet"]

_POLL_SECONDS = 0.05
_PATIENCE = timedelta(minutes=10)  # limit for the other processes to start and to plan


def join_fleet() -> Fleet | None:
    """Join the other processes of this torchrun; None without torchrun.

    Raises:
        UsageError: torchrun's variables are invalid, or the other processes cannot be reached.
    """
    if not started_by_torchrun() or (process := this_process()).size == 1:
        return None
    try:
        store = meet(_PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"the other processes of this torchrun cannot be reached ({reason})") from error
    return Fleet(store, process.rank, process.size, process.local_rank)


class Fleet:
    """The processes of a run and their shared queue (`pipeline.Work`).

    Args:
        store: shared by the processes.
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine, from 0.
    """

    def __init__(self, store: Store, rank: int, size: int, local_rank: int) -> None:
        self._store = store
        self._size = size
        self._local_rank = local_rank
        self._pictures = 0
        self.first = rank == 0

    def device(self, name: str) -> str:
        """Return the device of this process: for ``auto`` and ``cuda``, one GPU each."""
        if name in ("auto", "cuda") and torch.cuda.is_available():
            return f"cuda:{self._local_rank % torch.cuda.device_count()}"
        return name

    def agree(self, items: Sequence[Item]) -> None:
        """Wait until all processes have a plan, and check that the plans are equal.

        No process writes before that, so all see the same existing results.

        Raises:
            UsageError: the processes see different inputs, or one does not finish its plan.
        """
        names = json.dumps([[item.source.name, str(item.output)] for item in items])
        mine = hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()
        try:
            self._store.add(f"plan/{mine}", 1)
            if self._store.add("plans", 1) == self._size:  # so all have counted their plan
                same = self._store.add(f"plan/{mine}", 0) == self._size
                self._store.set("planned", mine if same else "differently")
            self._store.wait(["planned"], _PATIENCE)
        except RuntimeError as error:
            raise UsageError("the other processes of this torchrun did not finish their plan") from error
        if self._store.get("planned").decode() != mine:
            raise UsageError("the processes of this torchrun see different inputs: give each the same")
        self._pictures = len(items)

    def take(self) -> int | None:
        """Take the next free picture: return its place in the plan, from 0; None if there is none."""
        place = int(self._store.add("next", 1)) - 1
        return place if place < self._pictures else None

    def finished(self, place: int, result: Result) -> None:
        """Send the result of a picture to the first process."""
        self._store.set(_key(place), _packed(result))

    def stop(self) -> None:
        """Stop all workers of all processes."""
        self._store.set("stop", "")

    @property
    def stopped(self) -> bool:
        """Whether the workers must stop."""
        return self._store.check(["stop"])

    def results(self, items: Sequence[Item], check: Callable[[], None]) -> Iterator[Result]:
        """Yield the results of all pictures from all processes, in the order of the plan.

        Args:
            items: the plan.
            check: called while waiting.
        """
        for place, item in enumerate(items):
            while not self._store.check([_key(place)]):
                check()
                time.sleep(_POLL_SECONDS)
            yield _unpacked(item, self._store.get(_key(place)))


def _key(place: int) -> str:
    return f"result/{place}"


def _packed(result: Result) -> str:
    found = result.report.agreement if isinstance(result.report, CheckReport) else None
    return json.dumps(
        {
            "status": result.status,
            "scale": result.scale,
            "width": result.width,
            "height": result.height,
            "seconds": result.seconds,
            "denoise": result.denoise,
            "check": found and [found.lr_psnr, found.worst_psnr, found.worst_box],
            "error": result.error and [type(result.error).__name__, _packed_parts(result.error)],
        }
    )


def _packed_parts(error: ManetError) -> list[str | list[object]]:
    """Return the parts of a message for JSON; parameter values of other types become text."""
    return [
        [part.name, part.value if isinstance(part.value, str | int | float | None) else str(part.value)]
        if isinstance(part, Parameter)
        else str(part)
        for part in error.args
    ]


def _unpacked(item: Item, text: bytes) -> Result:
    values = json.loads(text)
    check, error = values.pop("check"), values.pop("error")
    if check is not None:
        lr_psnr, worst_psnr, worst_box = check
        check = CheckReport(Agreement(lr_psnr, worst_psnr, tuple(worst_box)))
    if error is not None:
        kind, parts = error
        message = (part if isinstance(part, str) else Parameter(*part) for part in parts)
        error = getattr(errors, kind, ManetError)(*message)
    return Result(item, report=check, error=error, **values)
