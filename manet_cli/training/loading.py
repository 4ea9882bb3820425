"""Batches prepared ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

import torch
from torch import Tensor

from manet_cli.training.batches import Batch, BatchMaker, Draws

__all__ = ["Loader"]

_AHEAD = 3

_Cut: TypeAlias = tuple[Draws, Tensor]


class Loader:
    """Returns one batch after another.

    If the photos are on the training device, cutting them is fast. Otherwise a thread cuts a few batches
    ahead.

    Args:
        maker: makes the batches.
        first: step of the first batch.
        progress: returns the share of the run done at a step.
    """

    def __init__(self, maker: BatchMaker, first: int, progress: Callable[[int], float]) -> None:
        self._maker = maker
        self._progress = progress
        self._step = first
        self._queue: queue.Queue[_Cut | BaseException] = queue.Queue(_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._cut_ahead, name="crops", daemon=True)
        self._resident = maker.cache.pixels.device == maker.device and maker.device.type != "cpu"
        if not self._resident:
            self._thread.start()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def next(self) -> Batch:
        """Return the next batch, on the device."""
        if self._resident:
            draws, crops = self._cut(self._step)
            self._step += 1
        else:
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            draws, crops = item
        return self._maker.degrade(crops, draws)

    def _cut(self, step: int) -> _Cut:
        draws = self._maker.draw(step, self._progress(step)).part(self._maker.shard)
        return draws, self._maker.crops(draws)

    def _cut_ahead(self) -> None:
        step = self._step
        while not self._stopped.is_set():
            item: _Cut | BaseException
            try:
                item = self._cut(step)
                if self._maker.device.type == "cuda":
                    item = (item[0], item[1].pin_memory())
            except BaseException as error:  # noqa: BLE001 - raised again by `next`
                item = error
            self._put(item)
            if isinstance(item, BaseException):
                return
            step += 1

    def _put(self, item: _Cut | BaseException) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return


def fits_on(device: torch.device, pixels: Tensor) -> bool:
    """Whether the photos fit on the training device: on CUDA, in a third of its free memory."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return pixels.numel() < free // 3
