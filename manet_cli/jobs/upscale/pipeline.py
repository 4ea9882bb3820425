"""Many pictures at once: while one is on a device, the next is decoded and the last one encoded.

A few threads take pictures from one queue, each from reading to renaming. In between they wait for a device,
which runs one picture at a time, or a stack of small ones. Pictures begin in the order of the plan, but for
those that a stack takes along, as many as fit in memory; their results are given back in that order.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from queue import Queue
from typing import Protocol

import torch

from manet_cli.atomic import remove_leftovers
from manet_cli.inference import available_memory
from manet_cli.jobs.stacks import Stacks, plan_stacks, run_ahead
from manet_cli.jobs.upscale.job import HELD_ROWS, Made, Progress, Upscaler
from manet_cli.jobs.upscale.plan import Item
from manet_cli.jobs.upscale.result import Result
from manet_cli.jobs.upscale.sharing import Fleet

__all__ = ["LocalWork", "Pipeline", "Work", "run_plan"]

_LEAST_ROOM = 256 << 20
_WAKE_SECONDS = 0.5  # on Windows a waiting thread sees no Ctrl-C

Watch = Callable[[Item], AbstractContextManager[Progress]]
"""Follows a picture while its block runs."""


def run_plan(
    items: Sequence[Item],
    upscalers: Sequence[Upscaler],
    watch: Watch,
    *,
    fleet: Fleet | None = None,
    fail_fast: bool = False,
) -> Generator[Result]:
    """Carry out a plan and yield how each picture went, in the order of the plan.

    Args:
        items: the plan.
        upscalers: one for each device.
        watch: follows each picture.
        fleet: shares the work with other processes, of which the first yields all results, the others none.
        fail_fast: start no more when one fails, and nothing at all if there is anything wrong with the plan.

    Raises:
        UsageError: the processes of a fleet have different plans.
    """
    # Stacks would begin pictures ahead of their turn.
    stacks = plan_stacks(items, (lambda item: 1) if fail_fast else upscalers[0].stack_size)
    if fleet is not None:
        stacks = fleet.agree(items, stacks)
    for folder in {path.parent for item in items for path in (item.output, item.kernels) if path}:
        remove_leftovers(folder)
    work: Work = fleet or LocalWork(len(stacks))
    if fail_fast and any(item.error for item in items):
        work.stop()
    with Pipeline(items, stacks, work, upscalers, watch, fail_fast=fail_fast) as pipeline:
        if fleet is None:
            yield from pipeline.results()
        elif fleet.first:
            yield from fleet.results(items, pipeline.check)
        else:
            deque(pipeline.results(), maxlen=0)


class Work(Protocol):
    """Which stacks are still to be taken, by the threads of this process and perhaps by other processes."""

    def take(self) -> int | None:
        """Return the number of the next stack; None if there is none left."""
        ...

    def finished(self, place: int, result: Result) -> None:
        """Tell how a picture went."""
        ...

    def stop(self) -> None:
        """Tell all who take pictures that no more is to be started."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether no more is to be started."""
        ...


class LocalWork:
    """All the stacks of a plan, for this process alone."""

    def __init__(self, stacks: int) -> None:
        self._numbers = iter(range(stacks))
        self.stopped = False

    def take(self) -> int | None:
        """Return the number of the next stack."""
        return next(self._numbers, None)

    def finished(self, place: int, result: Result) -> None:
        """Do nothing: the pipeline has it."""

    def stop(self) -> None:
        """Start no more."""
        self.stopped = True


class _GivenUp(BaseException):
    """Unwinds a picture in the middle, because the run ends; nothing of it is left behind."""


class _Devices:
    """Gives pictures a device that is free (`job.Turn`), each device in a thread of its own."""

    held_rows = HELD_ROWS

    def __init__(self, upscalers: Sequence[Upscaler]) -> None:
        self._free: Queue[tuple[Upscaler, ThreadPoolExecutor]] = Queue()
        self._threads = [ThreadPoolExecutor(1) for _ in upscalers]
        for device in zip(upscalers, self._threads, strict=True):
            self._free.put(device)

    def run(self, upscaler: Upscaler, networks: Callable[[Upscaler], Made]) -> Made:
        """Return what ``networks`` gives on the first device that is free."""
        device = on_device, thread = self._free.get()
        try:
            return thread.submit(networks, on_device).result()
        finally:
            self._free.put(device)

    def close(self) -> None:
        """End the threads."""
        for thread in self._threads:
            thread.shutdown()


class Pipeline:
    """Runs a plan, in threads that end with the block; what they were at is given up without a trace.

    Args:
        items: the plan.
        stacks: which of them go through the networks together.
        work: which stacks are still to be taken.
        upscalers: one for each device.
        watch: follows each picture.
        fail_fast: start no more when one fails, and none ahead of its turn.
    """

    def __init__(
        self,
        items: Sequence[Item],
        stacks: Stacks,
        work: Work,
        upscalers: Sequence[Upscaler],
        watch: Watch,
        *,
        fail_fast: bool = False,
    ) -> None:
        self._items = items
        self._stacks = stacks
        self._work = work
        self._watch = watch
        self._fail_fast = fail_fast
        self._room = max(available_memory(torch.device("cpu")) // 4, _LEAST_ROOM)
        self._taken_room = 0
        self._finished: dict[int, Result] = {}
        self._error: BaseException | None = None
        self._stopping = False
        self._next = threading.Lock()
        self._changed = threading.Condition()
        self._devices = _Devices(upscalers)
        self._upscaler = replace(upscalers[0], turn=self._devices)
        # For each device a picture that is on it and one that is decoded or encoded, and one more.
        pictures = len(upscalers) if fail_fast else 2 * len(upscalers) + 1
        self._threads = [
            threading.Thread(target=self._take_pictures, daemon=True)
            for _ in range(min(pictures, len(stacks)))
        ]
        self._working = len(self._threads)

    def __enter__(self) -> Pipeline:
        """Start."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Give up what is not finished, and wait until all is put away."""
        self._end()
        self._devices.close()

    def _end(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def results(self) -> Iterator[Result]:
        """Yield how each picture that was taken here went, in the order of the plan.

        Where the run is interrupted meanwhile, what is finished is told before that is raised again.

        Raises:
            BaseException: what a thread did not expect.
        """
        try:
            for place in range(len(self._items)):
                with self._changed:
                    while place not in self._finished and self._working and not self._error:
                        self._changed.wait(_WAKE_SECONDS)
                    self.check()
                    result = self._finished.pop(place, None)
                if result is not None:
                    yield result
        except GeneratorExit:
            raise
        except BaseException:
            self._end()
            for place in sorted(self._finished):
                yield self._finished.pop(place)
            raise

    def check(self) -> None:
        """Raise what a thread did not expect, if there is such a thing."""
        if self._error:
            raise self._error

    def _take_pictures(self) -> None:
        try:
            while (stack := self._take()) is not None:
                upscalers = run_ahead(self._upscaler, [self._items[place] for place in stack], self._go_on)
                for place in stack:
                    result = self._result(upscalers.pop(0), self._items[place])
                    if self._fail_fast and result.error is not None:
                        self._work.stop()
                    self._work.finished(place, result)
                    with self._changed:
                        self._finished[place] = result
                        self._taken_room -= self._needed(place)
                        self._changed.notify_all()
        except _GivenUp:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by `results`
            self._error = error
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def _take(self) -> Sequence[int] | None:
        """Return the places of the next stack as soon as there is room for it."""
        with self._next:  # those who come later wait behind a large one
            if self._stopping:
                return None
            number = self._work.take()
            if number is None:
                return None
            stack = self._stacks[number]
            needed = sum(map(self._needed, stack))
            with self._changed:
                while self._taken_room and self._taken_room + needed > self._room and not self._stopping:
                    self._changed.wait()
                self._taken_room += needed
            return None if self._stopping else stack

    def _go_on(self) -> None:
        if self._stopping:
            raise _GivenUp

    def _needed(self, place: int) -> int:
        item = self._items[place]
        return 0 if item.error or item.done else self._upscaler.host_memory(item)

    def _result(self, upscaler: Upscaler, item: Item) -> Result:
        if item.error:
            return upscaler.finish(item, lambda share: None)
        if self._work.stopped and not item.done:
            return upscaler.not_started(item)
        with self._watch(item) as progress:

            def advance(share: float) -> None:
                self._go_on()
                progress(share)

            return upscaler.finish(item, advance)
