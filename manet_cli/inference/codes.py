"""What the engine takes and gives: images in rows, tiles, and the kernel codes that lie between."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from manet_cli.models import MANet

if TYPE_CHECKING:
    from manet_cli.inference.engine import Engine

__all__ = ["Codes", "ConstantCode", "EstimatedCodes", "KernelTile", "LowResolution", "RestoredTile"]


class LowResolution(Protocol):
    """An image to run, read in rows so that it may be larger than memory."""

    height: int
    width: int
    layers: int

    def rows(self, start: int, stop: int) -> Tensor:
        """Return rows [start, stop) as (N, 3, stop - start, width), float32 in [0, 1].

        The first of the N layers is the picture, which the kernels are estimated on; the others
        (transparency) are restored with the same kernels.
        """
        ...


class Codes(Protocol):
    """The kernel codes of an image, asked for from the top down."""

    def forget(self, before: int) -> None:
        """Tell that no row before ``before`` will be asked for again."""
        ...

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the codes of LR rows [start, stop) as (1, L, stop - start, width) in float32."""
        ...


@dataclass(frozen=True)
class KernelTile:
    """Kernels (k*k, h, w) of the LR pixels from ``row`` and ``column`` on, float32, on the device.

    ``code`` is their code (L, h, w), on the CPU; without a restorer's basis there is none, and L is 0.
    """

    row: int
    column: int
    kernels: Tensor
    code: Tensor


@dataclass(frozen=True)
class RestoredTile:
    """Output pixels (N, 3, h, w) from ``row`` and ``column`` on, float32 on the CPU, not clamped."""

    row: int
    column: int
    pixels: Tensor


class ConstantCode:
    """One kernel for the whole image (non-blind super-resolution).

    Args:
        code: (1, L, 1, 1).
        width: of the LR image.
    """

    def __init__(self, code: Tensor, width: int) -> None:
        self._code = code
        self._width = width

    def forget(self, before: int) -> None:
        """Do nothing: there is one code."""

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the code for each pixel of rows [start, stop)."""
        return self._code.expand(-1, -1, stop - start, self._width)


class EstimatedCodes:
    """The codes of an image's own kernels, estimated in stripes when they are first asked for.

    Args:
        engine: runs the estimator.
        lr: the image.
        on_kernels: is given every tile of kernels once, as it is estimated.
        kernels: gives the kernels of rows [start, stop) instead of the engine; asked from the top down.
    """

    def __init__(
        self,
        engine: Engine,
        lr: LowResolution,
        on_kernels: Callable[[KernelTile], None] | None = None,
        kernels: Callable[[int, int], Iterator[KernelTile]] | None = None,
    ) -> None:
        self._kernels = kernels or functools.partial(engine.kernels, lr)
        self._lr = lr
        self._on_kernels = on_kernels
        self._start = 0
        self._kept = torch.empty(1, engine.kernel_code.basis.shape[1], 0, lr.width)

    def forget(self, before: int) -> None:
        """Drop the codes of rows before ``before``."""
        self._kept = self._kept[:, :, max(before - self._start, 0) :].clone()
        self._start = max(before, self._start)

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the codes of rows [start, stop), estimating those that are not there yet."""
        known = self._start + self._kept.shape[2]
        if stop > known:
            multiple = MANet.size_multiple
            self._estimate(known, min(-(-stop // multiple) * multiple, self._lr.height))
        return self._kept[:, :, start - self._start : stop - self._start]

    def _estimate(self, start: int, stop: int) -> None:
        # Room for all is made first: nothing can fail between a tile's kernels being handed out and kept.
        _, length, rows, width = self._kept.shape
        codes = torch.empty(1, length, rows + stop - start, width)
        codes[:, :, :rows] = self._kept
        for tile in self._kernels(start, stop):
            if self._on_kernels:
                self._on_kernels(tile)
            row, column, code = tile.row - self._start, tile.column, tile.code
            codes[0, :, row : row + code.shape[1], column : column + code.shape[2]] = code
        self._kept = codes
