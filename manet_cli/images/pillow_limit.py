"""Pillow's process-wide limit of pixels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

__all__ = ["pillow_limit"]


class _PillowLimit:
    """Sets Pillow's limit of pixels for a block.

    Threads that read at the same time share the largest limit; the last thread restores the original.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: list[int | None] = []
        self._before = Image.MAX_IMAGE_PIXELS

    @contextmanager
    def __call__(self, max_pixels: int | None) -> Iterator[None]:
        """Set the limit while the block runs; None for no limit."""
        with self._lock:
            if not self._inside:
                self._before = Image.MAX_IMAGE_PIXELS
            self._inside.append(max_pixels)
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                self._inside.remove(max_pixels)
                self._apply()

    def _apply(self) -> None:
        limits = [limit for limit in self._inside if limit is not None]
        unlimited = len(limits) < len(self._inside)
        Image.MAX_IMAGE_PIXELS = self._before if not self._inside else None if unlimited else max(limits)


pillow_limit = _PillowLimit()
