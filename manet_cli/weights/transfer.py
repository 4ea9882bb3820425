"""Limits of a download: total bytes and lowest speed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from manet_cli.errors import WeightsError
from manet_cli.weights.bounds import LARGEST_FILE

__all__ = ["Meter", "TooMuchError", "check_length"]

_GRACE = 60.0  # seconds without a limit: connections, redirects, busy servers
_LEAST_RATE = 1024  # bytes per second afterwards
_LOOK = 0.5  # seconds between two checks


class TooMuchError(WeightsError):
    """A server has more bytes than any weight file."""


def check_length(length: int | None, label: str) -> None:
    """Check the number of bytes that a server announces or has sent; None if unknown.

    Raises:
        TooMuchError: more bytes than a weight file may have.
    """
    if length is not None and length > LARGEST_FILE:
        raise TooMuchError(
            f"{label}: the server has more than {LARGEST_FILE >> 20} MiB, too much for a model"
        )


class Meter:
    """Watches the speed of a download over all its attempts.

    Args:
        label: name of the source in messages.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._received = 0
        self._started = time.monotonic()
        self._connections: list[socket.socket] = []

    def add(self, count: int) -> None:
        """Count received bytes.

        Raises:
            WeightsError: the server is too slow.
        """
        self._received += count
        self.check()

    def check(self) -> None:
        """Raise WeightsError if the server is too slow."""
        if self._is_slow():
            raise WeightsError(
                f"{self._label}: the server sends less than {_LEAST_RATE} bytes a second: try again later"
            )

    def watch(self, connection: socket.socket) -> None:
        """Close this connection when the server becomes too slow, even during a read."""
        self._connections.append(connection.dup())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Check the speed in another thread while the block runs; then close the watched duplicates."""
        ended = threading.Event()
        thread = threading.Thread(target=self._cut_when_slow, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            while self._connections:
                self._connections.pop().close()

    def _is_slow(self) -> bool:
        return self._received < _LEAST_RATE * (time.monotonic() - self._started - _GRACE)

    def _cut_when_slow(self, ended: threading.Event) -> None:
        while not ended.wait(_LOOK):
            if self._is_slow():
                for connection in tuple(self._connections):
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
