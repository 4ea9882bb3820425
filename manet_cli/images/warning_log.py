"""Warnings of the decoder and encoder go to the log, not to the user's warning filters."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["logged_warnings"]

_log = logging.getLogger(__name__)
_caught = threading.local()


class _Capture:
    """Catches the warnings of all threads inside of it, each thread's for itself.

    `warnings.catch_warnings` swaps a setting of the whole process: two threads that interleave would leave it
    changed. Here the first one in swaps it, and the last one out restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._swapped = warnings.catch_warnings()
        self._show = warnings.showwarning

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._swapped = warnings.catch_warnings()
                self._swapped.__enter__()
                self._show = warnings.showwarning
                warnings.simplefilter("always")
                warnings.showwarning = self._take
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._swapped.__exit__(None, None, None)

    def _take(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        mine: list[str] | None = getattr(_caught, "messages", None)
        if mine is None:
            self._show(message, category, filename, lineno, file, line)
        else:
            mine.append(str(message))


_capture = _Capture()


@contextmanager
def logged_warnings(name: str) -> Iterator[None]:
    """Log the warnings that this thread raises inside, for the file called `name`, unseen otherwise."""
    outer, messages = getattr(_caught, "messages", None), list[str]()
    with _capture:
        _caught.messages = messages
        try:
            yield
        finally:
            _caught.messages = outer
    for message in messages:
        _log.info("%s: %s", name, message)
