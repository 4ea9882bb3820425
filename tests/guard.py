"""End a test that hangs: an attack must be refused, even on a slow machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS = 120


@contextmanager
def guarded() -> Iterator[None]:
    """Fail if the block takes longer than `SECONDS`, on systems with an alarm."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def fail(signum: int, frame: FrameType | None) -> None:
        raise AssertionError(f"this hangs: more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
