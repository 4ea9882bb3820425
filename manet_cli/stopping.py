"""Ctrl-C and SIGTERM end a run, whatever the code that they interrupt makes of them."""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["end_if_stopped", "listen", "stopped_by"]

_came: int | None = None


def listen() -> None:
    """From now on both signals unwind the stack, so that temporary files are removed, and are remembered."""
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as of a shell's background jobs
        signal.signal(signal.SIGINT, _stop)


def stopped_by() -> int | None:
    """Return the number of the signal that came, SIGINT or SIGTERM; None if none did."""
    return _came


def end_if_stopped() -> None:
    """End the process as the signal that came wants it; to be called where an error is not raised on.

    C code that is interrupted may make an error of its own of that, which then is no finding about a picture.
    Signals interrupt the main thread alone, so in another one an error is what it says, and nothing is done.

    Raises:
        SystemExit: a signal came.
    """
    if _came is not None and threading.current_thread() is threading.main_thread():
        raise SystemExit(128 + _came)


def _stop(signum: int, frame: FrameType | None) -> None:
    global _came
    _came = signum
    raise KeyboardInterrupt if signum == signal.SIGINT else SystemExit(128 + signum)
