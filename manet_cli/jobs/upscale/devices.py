"""The devices of a run. Each has one engine and works on one picture at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Queue

from manet_cli.inference import Engine

__all__ = ["Devices"]


class Devices:
    """A pool of engines.

    Args:
        engines: one for each device, with the same weights.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.count = len(engines)
        self.kernel_size = engines[0].kernel_size
        self._free: Queue[Engine] = Queue()
        for engine in engines:
            self._free.put(engine)

    @contextmanager
    def take(self, denoise: float | None = None) -> Iterator[Engine]:
        """Yield the first free engine; wait if all are in use.

        Args:
            denoise: position of the dial, 0 to 1; None for weights without a dial.
        """
        engine = self._free.get()
        try:
            if denoise is not None:
                engine.turn(denoise)
            yield engine
        finally:
            self._free.put(engine)
