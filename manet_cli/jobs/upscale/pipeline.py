"""Many pictures at once: while one is on a device, the next is decoded and the previous one encoded.

A few threads take pictures in the order of the plan, as many as fit in memory. Each thread reads a picture,
waits for a free device and writes the result. A device runs one picture at a time. Results come in the order
of the plan.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch

from manet_cli.atomic import remove_leftovers
from manet_cli.errors import OutOfMemoryError
from manet_cli.inference import Engine, available_memory
from manet_cli.jobs.upscale.devices import Devices
from manet_cli.jobs.upscale.files import PictureMaker, Restore
from manet_cli.jobs.upscale.job import Progress, UpscaleOptions, upscale
from manet_cli.jobs.upscale.plan import Item
from manet_cli.jobs.upscale.result import Result
from manet_cli.jobs.upscale.sharing import Fleet

__all__ = ["LocalWork", "Pipeline", "Work", "run_plan"]

_LEAST_ROOM = 256 << 20
_WAKE_SECONDS = 0.5  # on Windows a waiting thread sees no Ctrl-C

Watch = Callable[[Item], AbstractContextManager[Progress]]
"""Shows the progress of a picture while its block runs."""


def run_plan(
    items: Sequence[Item],
    engines: Sequence[Engine],
    options: UpscaleOptions,
    watch: Watch,
    *,
    fleet: Fleet | None = None,
    fail_fast: bool = False,
    restore: Restore = upscale,
) -> Generator[Result]:
    """Run a plan and yield the result of each picture, in the order of the plan.

    Args:
        items: the plan.
        engines: one for each device.
        options: of the run.
        watch: shows the progress of each picture.
        fleet: shares the work with other processes; the first one yields all results, the others none.
        fail_fast: start no more pictures after a failure, and none if the plan has errors.
        restore: makes the result of a photo.

    Raises:
        UsageError: the processes of a fleet have different plans.
    """
    if fleet is not None:
        fleet.agree(items)
    for folder in {path.parent for item in items for path in (item.output, item.kernels) if path}:
        remove_leftovers(folder)
    work: Work = fleet or LocalWork(len(items))
    if fail_fast and any(item.error for item in items):
        work.stop()
    maker = PictureMaker(Devices(engines), options, restore)
    with Pipeline(items, work, maker, watch, fail_fast=fail_fast) as pipeline:
        if fleet is None:
            yield from pipeline.results()
        elif fleet.first:
            yield from fleet.results(items, pipeline.check)
        else:
            deque(pipeline.results(), maxlen=0)


class Work(Protocol):
    """A queue of pictures, for the threads of this process and perhaps for other processes."""

    def take(self) -> int | None:
        """Return the place of the next picture in the plan; None if there is none left."""
        ...

    def finished(self, place: int, result: Result) -> None:
        """Report the result of a picture."""
        ...

    def stop(self) -> None:
        """Stop all workers: no more pictures are started."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether the workers must stop."""
        ...


class LocalWork:
    """A queue of all pictures of a plan, for this process only."""

    def __init__(self, pictures: int) -> None:
        self._places = iter(range(pictures))
        self.stopped = False

    def take(self) -> int | None:
        """Return the place of the next picture."""
        return next(self._places, None)

    def finished(self, place: int, result: Result) -> None:
        """Do nothing: the pipeline has the result."""

    def stop(self) -> None:
        """Stop all workers."""
        self.stopped = True


class _GivenUp(BaseException):
    """Aborts a picture because the run ends; its files are removed."""


class Pipeline:
    """Runs a plan in threads, which end with the block; unfinished pictures are aborted and removed.

    Args:
        items: the plan.
        work: queue of the pictures.
        maker: makes a picture.
        watch: shows the progress of each picture.
        fail_fast: after a failure start no more pictures; until then, work on only one picture per device.
    """

    def __init__(
        self,
        items: Sequence[Item],
        work: Work,
        maker: PictureMaker,
        watch: Watch,
        *,
        fail_fast: bool = False,
    ) -> None:
        self._items = items
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
        self._maker = maker
        # For each device, one picture on it and one being decoded or encoded; and one more.
        pictures = maker.devices.count if fail_fast else 2 * maker.devices.count + 1
        self._threads = [
            threading.Thread(target=self._take_pictures, daemon=True)
            for _ in range(min(pictures, len(items)))
        ]
        self._working = len(self._threads)

    def __enter__(self) -> Pipeline:
        """Start as many threads as the system allows.

        Raises:
            OutOfMemoryError: it allows none.
        """
        started = list[threading.Thread]()
        for thread in self._threads:
            try:
                thread.start()
            except RuntimeError:
                break
            started.append(thread)
        if self._threads and not started:
            raise OutOfMemoryError("there is no memory for a thread: close other programs")
        with self._changed:
            self._working -= len(self._threads) - len(started)
        self._threads = started
        return self

    def __exit__(self, *error: object) -> None:
        """Abort unfinished pictures, and wait for the threads."""
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def results(self) -> Iterator[Result]:
        """Yield the result of each picture taken here, in the order of the plan.

        After an interruption, finished pictures are still yielded before the exception is raised again.

        Raises:
            BaseException: an unexpected error in a thread.
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
        """Raise an unexpected error of a thread, if there is one."""
        if self._error:
            raise self._error

    def _take_pictures(self) -> None:
        try:
            while (place := self._take()) is not None:
                result = self._result(self._items[place])
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

    def _take(self) -> int | None:
        """Return the place of the next picture as soon as it fits in memory."""
        with self._next:  # later pictures wait behind a large one
            if self._stopping:
                return None
            place = self._work.take()
            if place is None:
                return None
            needed = self._needed(place)
            with self._changed:
                while self._taken_room and self._taken_room + needed > self._room and not self._stopping:
                    self._changed.wait()
                self._taken_room += needed
            return None if self._stopping else place

    def _go_on(self) -> None:
        if self._stopping:
            raise _GivenUp

    def _needed(self, place: int) -> int:
        item = self._items[place]
        return 0 if item.error or item.done else self._maker.host_memory(item)

    def _result(self, item: Item) -> Result:
        if item.error:
            return self._maker.make(item, lambda share: None)
        if self._work.stopped and not item.done:
            return self._maker.not_started(item)
        with self._watch(item) as progress:

            def advance(share: float) -> None:
                self._go_on()
                progress(share)

            return self._maker.make(item, advance)
