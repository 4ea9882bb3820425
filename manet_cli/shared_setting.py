"""Process-wide settings that several threads change at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

__all__ = ["SharedSetting"]


class SharedSetting:
    """A context manager that changes a setting for its block, in any number of threads.

    The first thread in changes the setting; the last one out restores it. If every thread did both,
    overlapping threads could leave the setting changed.

    Args:
        change: returns a context manager that changes the setting and restores it.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[object]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._inside = 0
        self._changed = ExitStack()

    def __enter__(self) -> None:
        """Change the setting, unless another block changed it."""
        with self._lock:
            if self._inside == 0:
                self._changed.enter_context(self._change())
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        """Restore the setting, unless another block still needs it."""
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._changed.close()
