"""Estimated kernel codes of an image, computed on demand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from manet_cli.inference.engine import Engine
from manet_cli.inference.streams import CodeTile, KernelTile, LowResolution
from manet_cli.models import MANet

__all__ = ["EstimatedCodes"]


class EstimatedCodes:
    """Estimated kernel codes of an image, computed in stripes on demand.

    Args:
        engine: runs the estimator.
        lr: the image.
        on_kernels: called with every tile of kernels once.
        kernels: yields the kernels of rows [start, stop) instead of the engine; called from the top down.
    """

    def __init__(
        self,
        engine: Engine,
        lr: LowResolution,
        on_kernels: Callable[[KernelTile], None] | None = None,
        kernels: Callable[[int, int], Iterator[KernelTile]] | None = None,
    ) -> None:
        self._codes: Callable[[int, int], Iterator[CodeTile]] = functools.partial(
            engine.codes, lr, on_kernels=on_kernels
        )
        if kernels:
            self._codes = functools.partial(_codes_of, kernels, on_kernels)
        self._lr = lr
        self._start = 0
        self._kept = torch.empty(1, engine.kernel_code.basis.shape[1], 0, lr.width)

    def forget(self, before: int) -> None:
        """Drop the codes of rows before ``before``."""
        self._kept = self._kept[:, :, max(before - self._start, 0) :].clone()
        self._start = max(before, self._start)

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the codes of rows [start, stop); estimate missing ones."""
        known = self._start + self._kept.shape[2]
        if stop > known:
            multiple = MANet.size_multiple
            self._estimate(known, min(-(-stop // multiple) * multiple, self._lr.height))
        return self._kept[:, :, start - self._start : stop - self._start]

    def _estimate(self, start: int, stop: int) -> None:
        # Allocate first, so that nothing can fail between reporting and storing a tile's kernels.
        _, length, rows, width = self._kept.shape
        codes = torch.empty(1, length, rows + stop - start, width)
        codes[:, :, :rows] = self._kept
        for tile in self._codes(start, stop):
            row, column, code = tile.row - self._start, tile.column, tile.code
            codes[0, :, row : row + code.shape[1], column : column + code.shape[2]] = code
        self._kept = codes


def _codes_of(
    kernels: Callable[[int, int], Iterator[KernelTile]],
    on_kernels: Callable[[KernelTile], None] | None,
    start: int,
    stop: int,
) -> Iterator[CodeTile]:
    """Yield the codes of kernels that do not come from the engine."""
    for tile in kernels(start, stop):
        if on_kernels:
            on_kernels(tile)
        yield CodeTile(tile.row, tile.column, tile.code)
