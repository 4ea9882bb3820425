"""The devices of a run, each with an engine, for one picture at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Queue

from manet_cli.inference import Engine

__all__ = ["Devices"]


class Devices:
    """Lends engines; whoever comes when all are lent waits.

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
        """Lend the first engine that is free, for a block.

        Args:
            denoise: where its dial is to stand; None for weights without one.
        """
        engine = self._free.get()
        try:
            if denoise is not None:
                engine.turn(denoise)
            yield engine
        finally:
            self._free.put(engine)
