"""Kernels over an image: the published spatially variant test types 1-6, and the one-kernel case.

The cropped HR image is divided into 40 x 40 blocks with one Gaussian kernel each; the types differ in how the
kernel changes from block to block (Liang et al., ICCV 2021, test protocol).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manet_cli.degradations.gaussian import KERNEL_SIZE, GaussianParameters, KernelRange, anisotropic_kernels
from manet_cli.errors import UsageError

__all__ = [
    "BLOCK_SIZE",
    "MODES",
    "BlockKernels",
    "block_parameters",
    "spatially_variant_kernels",
    "uniform_kernels",
]

BLOCK_SIZE = 40
"""Side of a block in HR pixels."""

MODES: dict[int, str] = {
    1: "the second axis widens from top to bottom",
    2: "the first axis widens from left to right, the second from top to bottom",
    3: "a narrow kernel turns by half a circle from top to bottom",
    4: "widths as in 2, angle as in 3",
    5: "widths and angle at random",
    6: "a checkerboard of the two diagonals",
}
"""The spatially variant test types and what varies in each."""


@dataclass(frozen=True)
class BlockKernels:
    """The true kernels of a degraded image, one per square block of its HR image.

    kernels: (nH, nW, k, k), each summing to 1. parameters: (nH, nW, 3) float64: sig1, sig2 (variances in HR
    pixels squared), theta (radians). height, width: size of the HR image, multiples of scale. block_size: in
    HR pixels; for a single kernel, the larger side of the image.
    """

    kernels: Tensor
    parameters: Tensor
    block_size: int
    height: int
    width: int
    scale: int

    @property
    def is_uniform(self) -> bool:
        """Whether the whole image has one kernel."""
        return self.kernels.shape[:2] == (1, 1)

    @property
    def lr_height(self) -> int:
        """Rows of the LR image."""
        return self.height // self.scale

    @property
    def lr_width(self) -> int:
        """Columns of the LR image."""
        return self.width // self.scale

    def lr_rows(self, start: int, stop: int) -> Tensor:
        """Return the kernels of LR rows start..stop-1, (stop - start, W / s, k, k).

        LR pixel (i, j) has the kernel of the HR pixel that it samples, (s i, s j). This method is a kernel
        map.
        """
        return self._rows(start, stop, self.lr_height, self.lr_width, self.scale)

    def hr_rows(self, start: int, stop: int) -> Tensor:
        """Return the kernels of HR rows start..stop-1, (stop - start, W, k, k)."""
        return self._rows(start, stop, self.height, self.width, 1)

    def _rows(self, start: int, stop: int, height: int, width: int, step: int) -> Tensor:
        if not 0 <= start <= stop <= height:
            raise UsageError(f"The rows are {start} to {stop}; expected a range within 0 to {height}.")
        if self.is_uniform:
            return self.kernels.expand(stop - start, width, -1, -1)
        device = self.kernels.device
        block_rows = torch.arange(start, stop, device=device) * step // self.block_size
        block_columns = torch.arange(width, device=device) * step // self.block_size
        return self.kernels[block_rows[:, None], block_columns[None, :]]


def block_parameters(
    mode: int, height: int, width: int, scale: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """Return the kernel shapes of a spatially variant type over an HR image of height x width pixels.

    generator: only for type 5, which is random. Returns (ceil(height / 40), ceil(width / 40), 3) float64 on
    the CPU: sig1, sig2 (variances in HR pixels squared), theta (radians).
    Raises `UsageError` for a type other than 1-6 and for type 5 without a generator.
    """
    if mode not in MODES:
        raise UsageError(
            f"The spatially variant type is {mode!r}; expected one of {', '.join(map(str, MODES))}."
        )
    if height < 1 or width < 1:
        raise UsageError(f"The HR image is {width}x{height}; expected at least one pixel.")
    limits = KernelRange.for_scale(scale)
    low, span = limits.low, limits.high - limits.low
    rows, columns = -(-height // BLOCK_SIZE), -(-width // BLOCK_SIZE)
    if mode == 5:
        return _random_parameters(rows, columns, limits, generator)
    h = torch.arange(rows, dtype=torch.float64)[:, None].expand(rows, columns)
    w = torch.arange(columns, dtype=torch.float64)[None, :].expand(rows, columns)
    widest = torch.full((rows, columns), limits.high, dtype=torch.float64)
    narrowest = torch.full((rows, columns), low, dtype=torch.float64)
    down = span * h / rows + low
    across = span * w / columns + low
    turning = math.pi * h / rows
    still = torch.zeros(rows, columns, dtype=torch.float64)
    diagonal = math.pi / 4 + math.pi / 2 * ((h + w) % 2)
    shapes = {
        1: (widest, down, still),
        2: (across, down, still),
        3: (widest, narrowest, turning),
        4: (across, down, turning),
        6: (widest, narrowest, diagonal),
    }
    return torch.stack(shapes[mode], dim=-1)


def spatially_variant_kernels(
    mode: int,
    height: int,
    width: int,
    scale: int,
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
) -> BlockKernels:
    """Return the kernels of a spatially variant type, on the CPU; arguments as in `block_parameters`."""
    parameters = block_parameters(mode, height, width, scale, generator=generator)
    kernels = anisotropic_kernels(*parameters.unbind(dim=-1), scale=scale, dtype=dtype)
    return BlockKernels(kernels, parameters, BLOCK_SIZE, height, width, scale)


def uniform_kernels(
    shape: GaussianParameters, height: int, width: int, scale: int, *, dtype: torch.dtype = torch.float32
) -> BlockKernels:
    """Return one kernel for an HR image of height x width pixels, on the CPU."""
    kernel = shape.kernel(scale, dtype=dtype)
    parameters = torch.tensor([shape.sig1, shape.sig2, shape.theta], dtype=torch.float64)
    return BlockKernels(
        kernel.reshape(1, 1, KERNEL_SIZE, KERNEL_SIZE),
        parameters.reshape(1, 1, 3),
        max(height, width),
        height,
        width,
        scale,
    )


def _random_parameters(
    rows: int, columns: int, limits: KernelRange, generator: torch.Generator | None
) -> Tensor:
    if generator is None:
        raise UsageError("Spatially variant type 5 draws its kernels; give a seed.")
    draws = torch.rand(
        rows, columns, 3, generator=generator, dtype=torch.float64, device=generator.device
    ).cpu()
    widths = limits.low + (limits.high - limits.low) * draws[..., :2]
    return torch.cat((widths, math.pi * draws[..., 2:]), dim=-1)
