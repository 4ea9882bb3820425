"""Progress of a run over pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from manet_cli.jobs.durations import duration

__all__ = ["BatchProgress"]

_COMPUTED = 0.99
"""Share of a picture's work done once it is computed; the rest is writing."""


@dataclass
class _Running:
    """A picture in progress; `computing`: the networks have started on it."""

    name: str
    work: float
    share: float = 0.0
    computing: bool = False


class BatchProgress:
    """Progress of a run over pictures, several at once, and its time left.

    Args:
        works: work of each picture, in any unit; 0 for a picture to skip.
        show: called with this object at every change.
        clock: returns seconds from an arbitrary start.
    """

    def __init__(
        self,
        works: Sequence[float],
        show: Callable[[BatchProgress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pictures = sum(work > 0 for work in works)
        self._total = sum(works)
        self._show = show
        self._clock = clock
        self._started = clock()
        self._running: list[_Running] = []
        self._done = 0.0
        self._ended = 0
        self._lock = threading.Lock()

    @contextmanager
    def picture(self, name: str, work: float) -> Iterator[Callable[[float], None]]:
        """Follow one picture; yield a callback for the share done, in [0, 1].

        After an exception the picture does not count as done.
        """
        running = _Running(name, work)

        def advance(share: float) -> None:
            with self._lock:
                running.share, running.computing = share, True
            self._show(self)

        with self._lock:
            self._running.append(running)
        self._show(self)
        try:
            yield advance
        except BaseException:
            with self._lock:
                self._running.remove(running)
            raise
        with self._lock:
            self._running.remove(running)
            self._done += work
            self._ended += work > 0
        self._show(self)

    @property
    def share(self) -> float:
        """Share of all work done, in [0, 1]; 1 only when every picture is written."""
        with self._lock:
            done = self._done + sum(min(each.share, _COMPUTED) * each.work for each in self._running)
        return min(done / self._total, 1.0) if self._total else 1.0

    @property
    def description(self) -> str:
        """The picture in progress and its number, such as ``12/400 name``; empty if there is none.

        It is the one that is computed; else one that is read or written.
        """
        with self._lock:
            at_work = [each for each in self._running if each.work > 0]
            if not at_work:
                return ""
            computed = [each for each in at_work if each.computing and each.share < 1]
            shown = next(iter(computed), next((each for each in at_work if each.share < 1), at_work[0]))
            written = [each for each in at_work if each.share >= 1]  # they come before one that is computed
            number = self._ended + 1 + (len(written) if shown.share < 1 else 0)
            words = f"{shown.name}, finishing" if shown.share >= 1 else shown.name
        return f"{number}/{self.pictures} {words}" if self.pictures > 1 else words

    @property
    def finishing(self) -> bool:
        """Whether every picture in progress is computed and only needs writing."""
        with self._lock:
            at_work = [each for each in self._running if each.work > 0]
        return bool(at_work) and all(each.share >= 1 for each in at_work)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    def remaining(self) -> float | None:
        """Estimate the seconds left from the pace so far; None before the first progress."""
        share = self.share
        return self.elapsed * (1 - share) / share if share else None

    def line(self) -> str:
        """Return the progress as text: ``12 of 400 pictures, 3%, about 2 h 10 min left``."""
        remaining = self.remaining()
        left = "" if remaining is None else f", about {duration(remaining)} left"
        return f"{self._ended} of {self.pictures} pictures, {self.share:.0%}{left}"
