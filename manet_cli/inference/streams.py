"""Input and output of the engine: images in rows, tiles, and kernel codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["CodeTile", "Codes", "ConstantCode", "KernelTile", "LowResolution", "RestoredTile", "assembled"]


class LowResolution(Protocol):
    """An input image, read in rows so that it may be larger than memory."""

    height: int
    width: int
    layers: int

    def rows(self, start: int, stop: int) -> Tensor:
        """Return rows [start, stop) as (N, 3, stop - start, width), float32 in [0, 1].

        Kernels are estimated on the first of the N layers, the picture; the others (transparency) are
        restored with the same kernels.
        """
        ...


class Codes(Protocol):
    """The kernel codes of an image, read from the top down."""

    def forget(self, before: int) -> None:
        """Free the rows before ``before``: they are not read again."""
        ...

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the codes of LR rows [start, stop) as (1, L, stop - start, width) in float32."""
        ...


@dataclass(frozen=True)
class KernelTile:
    """Kernels (k*k, h, w) of the LR pixels from ``row`` and ``column`` on, float32, on the device.

    ``code`` is their code (L, h, w), on the CPU; without a restorer's basis, L is 0.
    """

    row: int
    column: int
    kernels: Tensor
    code: Tensor


@dataclass(frozen=True)
class CodeTile:
    """Codes (L, h, w) for the restorer, of the LR pixels from ``row`` and ``column`` on, on the CPU."""

    row: int
    column: int
    code: Tensor


@dataclass(frozen=True)
class RestoredTile:
    """Output pixels (N, 3, h, w) from ``row`` and ``column`` on, float32 on the CPU, not clamped."""

    row: int
    column: int
    pixels: Tensor

    @property
    def area(self) -> tuple[slice, slice]:
        """The rows and columns of the result that the tile covers."""
        height, width = self.pixels.shape[-2:]
        return slice(self.row, self.row + height), slice(self.column, self.column + width)


def assembled(tiles: Iterable[RestoredTile], height: int, width: int) -> Tensor:
    """Assemble the tiles of one picture.

    Args:
        tiles: of a picture without transparency (one layer), in any order; they cover the result.
        height: of the result in pixels.
        width: likewise.

    Returns:
        The result (1, 3, height, width), float32, not clamped.
    """
    result = torch.empty(1, 3, height, width)
    for tile in tiles:
        rows, columns = tile.area
        result[..., rows, columns] = tile.pixels
    return result


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
