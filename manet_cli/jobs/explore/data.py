"""Data of every pixel for the page of ``manet explore``: kernel code and shape, in bytes.

The page decodes a kernel as `KernelDecoder` does: ``code @ inverse + rest``. Then it clamps negative values
to 0 and divides by the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from manet_cli.degradations.kernel_shape import kernel_shapes
from manet_cli.degradations.texture import FLAT_BELOW, texture
from manet_cli.inference import Engine, KernelTile, LowResolution
from manet_cli.jobs.kernels.map_writer import KernelMapWriter, kernel_map_shape
from manet_cli.models import KernelDecoder

__all__ = ["KernelBytes", "KernelGatherer", "Region", "clipped"]

_MOST_PLACES = 1 << 18
"""Most pixels with kernels on a page; larger pictures keep every Nth pixel of every Nth row."""

_MOST_SAMPLES = 4096
_LEVELS = 255
_HALF_TURN = 180.0

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Region:
    """A rectangle of LR pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        """Rows of the region in the picture."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Columns of the region in the picture."""
        return slice(self.left, self.left + self.width)

    def times(self, factor: int) -> Region:
        """Return the same rectangle in a picture enlarged by ``factor``."""
        return Region(self.left * factor, self.top * factor, self.width * factor, self.height * factor)

    def within(self, other: Region) -> Region:
        """Return the same rectangle relative to the corner of another."""
        return Region(self.left - other.left, self.top - other.top, self.width, self.height)


@dataclass(frozen=True, eq=False)
class KernelBytes:
    """The kernels of a picture as bytes, and the error of decoding them.

    Attributes:
        step: every ``step``-th pixel of every ``step``-th row is kept.
        planes: (L + 4, rows, columns): the code, sigma_x, sigma_y (HR pixels), theta (degrees), and 1 for
            flat pixels, whose estimate is unreliable.
        low: (L + 4,), value of byte 0 in each plane.
        unit: (L + 4,), value of a step of 1 in each plane.
        inverse: (L, k*k), the pseudo-inverse of the basis.
        rest: (k*k,), mean of the part that the basis does not span.
        psnr: mean kernel PSNR of the decoded kernels against the estimates, dB.
        largest_error: largest absolute error of their values.
    """

    step: int
    planes: Bytes
    low: npt.NDArray[np.float32]
    unit: npt.NDArray[np.float32]
    inverse: npt.NDArray[np.float32]
    rest: npt.NDArray[np.float32]
    psnr: float
    largest_error: float


class KernelGatherer:
    """Collects the kernels for the page, tile by tile.

    Args:
        engine: estimates the kernels.
        scale: HR pixels per LR pixel.
        region: the part of the picture on the page.
    """

    def __init__(self, engine: Engine, scale: int, region: Region) -> None:
        self._basis = engine.kernel_code.basis
        self._scale = scale
        self._region = region
        height, width = region.height, region.width
        self._codes = torch.empty(self._basis.shape[1], height, width)
        self._shapes = torch.empty(3, height, width)
        self._sample_step = max(1, math.ceil(math.sqrt(height * width / _MOST_SAMPLES)))
        shape = kernel_map_shape(height, width, self._sample_step, engine.kernel_size)
        self._samples = np.empty(shape, np.float32)
        self._writer = KernelMapWriter(self._samples, self._sample_step)

    def write(self, tile: KernelTile) -> None:
        """Add a tile's kernels."""
        part = clipped(tile, self._region)
        if part is None:
            return
        height, width = part.kernels.shape[1:]
        rows, columns = slice(part.row, part.row + height), slice(part.column, part.column + width)
        self._codes[:, rows, columns] = part.code
        size = self._samples.shape[2]
        kernels = part.kernels.permute(1, 2, 0).reshape(height, width, size, size)
        self._shapes[:, rows, columns] = torch.stack(kernel_shapes(kernels, self._scale)).cpu()
        self._writer.write(part)

    def finish(self, lr: LowResolution) -> KernelBytes:
        """Encode everything as bytes, after all tiles were added.

        Args:
            lr: the picture that contains the region.
        """
        flat = texture(lr.rows(0, lr.height)[:1])[:, self._region.rows, self._region.columns] < FLAT_BELOW
        step = max(1, math.ceil(math.sqrt(self._codes[0].numel() / _MOST_PLACES)))
        kept = [values[:, ::step, ::step] for values in (self._codes, self._shapes[:2])]
        planes, low, unit = _as_bytes(torch.cat(kept))
        theta = torch.round(self._shapes[2:, ::step, ::step] * (256 / _HALF_TURN)) % 256
        planes = torch.cat((planes, theta, flat[:, ::step, ::step].float()))
        low = torch.cat((low, torch.zeros(2)))
        unit = torch.cat((unit, torch.tensor([_HALF_TURN / 256, 1.0])))

        samples = torch.from_numpy(self._samples).flatten(0, 1).flatten(1).double()
        decoder = KernelDecoder.around_mean(self._basis, samples.mean(dim=0))
        length = len(self._codes)
        codes = self._codes[:, :: self._sample_step, :: self._sample_step].flatten(1)
        rounded = _rounded(codes, low[:length, None], unit[:length, None]) * unit[:length, None]
        rebuilt = decoder((rounded + low[:length, None]).T.double()).clamp(min=0)
        errors = rebuilt / rebuilt.sum(dim=1, keepdim=True) - samples
        psnr = -10 * torch.log10((errors**2).mean(dim=1).clamp(min=1e-20))
        return KernelBytes(
            step,
            planes.to(torch.uint8).numpy(),
            low.numpy(),
            unit.numpy(),
            decoder.inverse.float().numpy(),
            decoder.offset.float().numpy(),
            float(psnr.mean()),
            float(errors.abs().max()),
        )


def clipped(tile: KernelTile, region: Region) -> KernelTile | None:
    """Return the part of a tile inside a region, relative to its corner; None if there is none."""
    height, width = tile.kernels.shape[1:]
    top, left = max(tile.row, region.top), max(tile.column, region.left)
    bottom = min(tile.row + height, region.top + region.height)
    right = min(tile.column + width, region.left + region.width)
    if top >= bottom or left >= right:
        return None
    rows = slice(top - tile.row, bottom - tile.row)
    columns = slice(left - tile.column, right - tile.column)
    return KernelTile(
        top - region.top, left - region.left, tile.kernels[:, rows, columns], tile.code[:, rows, columns]
    )


def _as_bytes(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize planes (C, h, w) to 0..255; return them with the values of 0 and of a step of 1."""
    low, high = values.flatten(1).amin(dim=1), values.flatten(1).amax(dim=1)
    unit = (high - low) / _LEVELS
    return _rounded(values, low[:, None, None], unit[:, None, None]), low, unit


def _rounded(values: Tensor, low: Tensor, unit: Tensor) -> Tensor:
    safe = torch.where(unit > 0, unit, torch.ones_like(unit))
    return torch.round((values - low) / safe).clamp(0, _LEVELS)
