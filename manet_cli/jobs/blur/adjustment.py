"""The user's adjustments of the blur, applied pixel by pixel before the restorer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from manet_cli.degradations.adjustment import (
    gaussians_of,
    logarithms,
    shapes_of_logarithms,
    strengthen,
    weighted_median,
)
from manet_cli.degradations.kernel_shape import KernelShapes, kernel_shapes
from manet_cli.degradations.texture import FLAT_BELOW, TEXTURE_MARGIN, texture
from manet_cli.evaluation.self_check import Kernels
from manet_cli.inference import Engine, KernelTile, LowResolution

__all__ = ["AdjustedKernels", "Adjustment", "strengthened_kernel"]

_MULTIPLE = 8  # stripes of kernels start on multiples of this row
_MAX_BYTES = 32 * 2**20  # of the kernels, and of the values in medians, at a time
_LEAST_WEIGHT = 1e-3  # of a pixel without texture; in fully flat areas all pixels weigh the same


@dataclass(frozen=True, eq=False)
class Adjustment:
    """Changes of every pixel's blur, in this order.

    Attributes:
        smooth: radius in LR pixels of the median that replaces each blur; 0 for none.
        strength: factor on covariances; 1 for no change.
        flat: kernel (k, k) for flat areas; None to keep the estimate there.
    """

    smooth: int = 0
    strength: float = 1.0
    flat: Tensor | None = None

    @property
    def changes(self) -> bool:
        """Whether any change is set."""
        return self.smooth > 0 or self.strength != 1 or self.flat is not None


def strengthened_kernel(kernel: Tensor, strength: float, scale: int) -> Tensor:
    """Return the Gaussian (k, k) with ``strength`` times a kernel's covariance; for 1, the kernel itself."""
    if strength == 1:
        return kernel
    return gaussians_of(strengthen(kernel_shapes(kernel, scale), strength, scale), scale, kernel.shape[-1])


class AdjustedKernels:
    """Adjusted kernels, read from the top down (`evaluation.self_check.Kernels`).

    Each kernel depends only on its neighbourhood, so it is the same in stripes of any height.

    Args:
        engine: the model.
        lr: the image.
        kernels: kernels of the image.
        adjustment: the changes.
    """

    def __init__(self, engine: Engine, lr: LowResolution, kernels: Kernels, adjustment: Adjustment) -> None:
        self._engine = engine
        self._lr = lr
        self._kernels = kernels
        self._smooth = adjustment.smooth
        self._strength = adjustment.strength
        self._scale = engine.restorer.config.scale
        flat = adjustment.flat
        self._flat = None if flat is None else strengthened_kernel(flat, self._strength, self._scale)
        # Logarithms of covariances, and textures, of the rows still needed.
        self._first = 0
        self._held = torch.empty(4, 0, lr.width)

    def __call__(self, start: int, stop: int) -> Iterator[KernelTile]:
        """Yield the kernels of LR rows [start, stop), on the CPU."""
        stop = min(stop, self._lr.height)
        if self._smooth:
            yield from self._smoothed(start, stop)
            return
        found = _texture(self._lr, start, stop) if self._flat is not None else None
        for tile in self._kernels(start, stop):
            kernels = tile.kernels.cpu()
            if self._strength != 1:
                kernels = self._gaussians(strengthen(self._shapes(kernels), self._strength, self._scale))
            part = None
            if found is not None:
                _, height, width = kernels.shape
                part = found[tile.row - start :, tile.column :][:height, :width]
            yield self._tile(tile.row, tile.column, kernels, part)

    def _smoothed(self, start: int, stop: int) -> Iterator[KernelTile]:
        radius, width = self._smooth, self._lr.width
        self._hold(stop + radius)
        top = max(start - radius, 0)
        self._held, self._first = self._held[:, top - self._first :].clone(), top
        rows = max(1, _MAX_BYTES // (width * 4 * self._engine.kernel_size**2))
        for row in range(start, stop, rows):
            below = min(row + rows, stop)
            shapes = shapes_of_logarithms(self._medians(row, below))
            shapes = strengthen(shapes, self._strength, self._scale) if self._strength != 1 else shapes
            found = self._held[3, row - self._first : below - self._first]
            yield self._tile(row, 0, self._gaussians(shapes), found)

    def _medians(self, start: int, stop: int) -> Tensor:
        """Return the medians (3, h, W) around rows [start, stop)."""
        radius = self._smooth
        above, below = max(start - radius, 0), min(stop + radius, self._lr.height)
        held = self._held[:, above - self._first : below - self._first]
        # Pixels outside the picture have weight 0.
        missing = (radius, radius, above - (start - radius), stop + radius - below)
        weights = F.pad(held[3] + _LEAST_WEIGHT, missing)
        return weighted_median(F.pad(held[:3], missing), weights, radius)

    def _hold(self, stop: int) -> None:
        """Read the shapes of rows up to ``stop``, rounded up to a multiple of 8."""
        known = self._first + self._held.shape[1]
        stop = min(-(-stop // _MULTIPLE) * _MULTIPLE, self._lr.height)
        if stop <= known:
            return
        more = torch.empty(4, stop - known, self._lr.width)
        for tile in self._kernels(known, stop):
            _, height, width = tile.kernels.shape
            shapes = KernelShapes(*(values.cpu() for values in self._shapes(tile.kernels)))
            row = tile.row - known
            more[:3, row : row + height, tile.column : tile.column + width] = logarithms(shapes)
        more[3] = _texture(self._lr, known, stop)
        self._held = torch.cat((self._held, more), dim=1)

    def _shapes(self, kernels: Tensor) -> KernelShapes:
        """Return the shapes (h, w) of kernels (k*k, h, w)."""
        size = self._engine.kernel_size
        return kernel_shapes(kernels.permute(1, 2, 0).reshape(*kernels.shape[1:], size, size), self._scale)

    def _gaussians(self, shapes: KernelShapes) -> Tensor:
        """Return the kernels (k*k, h, w) of shapes (h, w)."""
        return gaussians_of(shapes, self._scale, self._engine.kernel_size).flatten(2).permute(2, 0, 1)

    def _tile(self, row: int, column: int, kernels: Tensor, found: Tensor | None) -> KernelTile:
        """Return kernels (k*k, h, w) with their codes, blended where the texture (h, w) is low."""
        if self._flat is not None and found is not None:
            # Smoothstep from 0.5 to 1.5 times the threshold.
            share = (found / FLAT_BELOW - 0.5).clamp(0, 1)
            share = share * share * (3 - 2 * share)
            flat = self._flat.reshape(-1, 1, 1)
            kernels = flat + share * (kernels - flat)
        return KernelTile(row, column, kernels, self._engine.code_of(kernels))


def _texture(lr: LowResolution, start: int, stop: int) -> Tensor:
    """Return the texture (h, W) of rows [start, stop), equal to the texture of the whole image there."""
    top = max(start - TEXTURE_MARGIN, 0)
    found = texture(lr.rows(top, min(stop + TEXTURE_MARGIN, lr.height))[:1])[0]
    return found[start - top : stop - top]
