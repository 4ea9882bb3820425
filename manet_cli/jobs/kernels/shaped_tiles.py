"""Tiles of kernels with their shapes and their reliability."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from manet_cli.degradations.kernel_shape import KernelShapes, kernel_shapes
from manet_cli.degradations.texture import FLAT_BELOW, TEXTURE_MARGIN, texture
from manet_cli.inference import Engine, KernelTile, LowResolution

__all__ = ["ShapedTile", "shaped_tiles"]


@dataclass(frozen=True)
class ShapedTile:
    """The kernels of h x w LR pixels.

    Attributes:
        tile: the engine's tile: its place, kernels and codes.
        kernels: (h, w, k, k) float32, on the device.
        shapes: (h, w) each, float32 on the CPU.
        texture: (h, w) float32 on the CPU, in levels of 255, see `degradations.texture`.
    """

    tile: KernelTile
    kernels: Tensor
    shapes: KernelShapes
    texture: Tensor

    @property
    def trusted(self) -> Tensor:
        """Mask of reliable pixels, (h, w): those with texture."""
        return self.texture >= FLAT_BELOW


def shaped_tiles(engine: Engine, lr: LowResolution, scale: int) -> Iterator[ShapedTile]:
    """Estimate the kernels of an image tile by tile, with their shapes.

    Raises:
        OutOfMemoryError: the smallest tile does not fit.
        WeightsError: the weights hold no estimator.
    """
    size = engine.kernel_size
    for tile in engine.kernels(lr):
        height, width = tile.kernels.shape[1:]
        kernels = tile.kernels.permute(1, 2, 0).reshape(height, width, size, size)
        shapes = KernelShapes(*(values.cpu() for values in kernel_shapes(kernels, scale)))
        yield ShapedTile(tile, kernels, shapes, _texture(lr, tile.row, tile.column, height, width))


def _texture(lr: LowResolution, row: int, column: int, height: int, width: int) -> Tensor:
    """Return the texture of a crop, equal to the texture of the whole image there."""
    top, left = max(row - TEXTURE_MARGIN, 0), max(column - TEXTURE_MARGIN, 0)
    image = lr.rows(top, min(row + height + TEXTURE_MARGIN, lr.height))[:1]
    found = texture(image[..., left : column + width + TEXTURE_MARGIN])[0]
    return found[row - top : row - top + height, column - left : column - left + width]
