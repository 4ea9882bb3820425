"""End a run on Ctrl-C and SIGTERM, even if the interrupted code hides them; at once on a second signal."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType

__all__ = ["end_at_second", "end_if_stopped", "listen", "stopped_by"]

_SAME = 0.1  # seconds; within it two signals count as one Ctrl-C, sent by a shell and by a launcher

_came: int | None = None
_when = 0.0


def listen() -> None:
    """Make both signals unwind the stack, so that temporary files are removed, and record the signal."""
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # ignored in a shell's background jobs
        signal.signal(signal.SIGINT, _stop)


def stopped_by() -> int | None:
    """Return the number of the signal received, SIGINT or SIGTERM; None without one."""
    return _came


def end_at_second(end: Callable[[int], object], at_first: Callable[[], object]) -> None:
    """Let a second signal end the process, whatever code handles the first. Call this once.

    Both callbacks run in another thread: the main thread may be in C code that takes long or never returns.

    Args:
        end: ends the process with an exit code.
        at_first: called when the first signal comes.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_count, args=(reader, writer, end, at_first), daemon=True).start()


def _count(
    reader: socket.socket,
    writer: socket.socket,
    end: Callable[[int], object],
    at_first: Callable[[], object],
) -> None:
    """Wait for two signals. Python writes their numbers to `writer`, which stays open until then."""
    first: float | None = None
    while numbers := reader.recv(64):
        for number in numbers:
            if number not in (signal.SIGINT, signal.SIGTERM):
                continue
            now = time.monotonic()
            if first is None:
                first = now
                at_first()
            elif now - first > _SAME:
                end(128 + number)
    writer.close()


def end_if_stopped() -> None:
    """End the process if a signal came. Call it wherever an error is handled and not raised again.

    Interrupted C code may raise an unrelated error; it says nothing about the picture. Does nothing in other
    threads: signals interrupt only the main thread.

    Raises:
        SystemExit: a signal came.
    """
    if _came is not None and threading.current_thread() is threading.main_thread():
        raise SystemExit(128 + _came)


def _stop(signum: int, frame: FrameType | None) -> None:
    global _came, _when
    now = time.monotonic()
    if _came is not None and now - _when < _SAME:
        return
    _came, _when = signum, now
    raise KeyboardInterrupt if signum == signal.SIGINT else SystemExit(128 + signum)
