"""How good estimated kernels are, accumulated tile by tile: no map of a whole image is ever held."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli.degradations.blur import apply_kernels
from manet_cli.degradations.gaussian import KERNEL_SIZE
from manet_cli.degradations.protocol import DegradedImage
from manet_cli.evaluation.metrics import LR_PSNR_CAP, kernel_psnr, psnr_y
from manet_cli.inference import KernelTile

__all__ = ["DECIBEL_CAP", "KernelComparison"]

DECIBEL_CAP = LR_PSNR_CAP
"""Every figure in dB is at most this, each pixel's kernel PSNR too, so that none is infinite."""

_MAX_BYTES = 32 * 2**20
"""Bound on the kernels that are looked at together, in float32."""


class KernelComparison:
    """Takes the tiles of an image's estimated kernels and gives the three figures about them.

    Args:
        degraded: the LR image that the kernels were estimated on, with the HR image (1, 3, H, W) and the true
            kernels.
    """

    def __init__(self, degraded: DegradedImage) -> None:
        self._true = degraded.kernels
        self._lr_clean = degraded.lr_clean
        self._padded = F.pad(degraded.hr, (KERNEL_SIZE // 2,) * 4, mode="replicate")
        self._redone = torch.zeros_like(degraded.lr_clean)
        self._decibels = 0.0
        self._sums = torch.zeros(2, KERNEL_SIZE, KERNEL_SIZE, dtype=torch.float64)
        self._pixels = 0

    def add(self, tile: KernelTile) -> None:
        """Take a tile of estimated kernels; every LR pixel comes in one tile."""
        channels, rows, columns = tile.kernels.shape
        # The true kernels of a row are looked up over the whole width, the HR windows over the tile's.
        bytes_per_row = 4 * channels * max(self._true.lr_width, 3 * columns)
        step = max(1, _MAX_BYTES // bytes_per_row)
        for start in range(0, rows, step):
            part = tile.kernels[:, start : start + step]
            kernels = part.permute(1, 2, 0).reshape(-1, columns, KERNEL_SIZE, KERNEL_SIZE)
            self._compare(kernels, tile.row + start, tile.column)
            self._redo(kernels, tile.row + start, tile.column)

    @property
    def per_pixel(self) -> float:
        """Mean over the LR pixels of each pixel's kernel PSNR, dB."""
        return self._decibels / self._pixels

    @property
    def mean_kernel(self) -> float:
        """Kernel PSNR of the mean estimated kernel against the mean true kernel, dB."""
        estimated, true = self._sums / self._pixels
        return min(float(kernel_psnr(estimated, true)), DECIBEL_CAP)

    @property
    def lr_psnr(self) -> float | None:
        """PSNR-Y of the HR image degraded by the estimated kernels against the LR image, dB.

        Both before noise and JPEG, rounded to 8 bits, within a border of the scale; None where no pixel is
        left within it.
        """
        border = self._true.scale
        if min(self._lr_clean.shape[-2:]) <= 2 * border:
            return None
        return min(psnr_y(self._redone, self._lr_clean, border=border), DECIBEL_CAP)

    def _compare(self, kernels: Tensor, row: int, column: int) -> None:
        """Compare kernels (h, w, k, k) from LR pixel (row, column) on with the true ones."""
        height, width = kernels.shape[:2]
        true = self._true.lr_rows(row, row + height)[:, column : column + width].to(kernels.device)
        self._decibels += float(kernel_psnr(kernels, true).clamp(max=DECIBEL_CAP).sum())
        self._sums[0] += kernels.cpu().double().sum(dim=(0, 1))
        self._sums[1] += true.cpu().double().sum(dim=(0, 1))
        self._pixels += height * width

    def _redo(self, kernels: Tensor, row: int, column: int) -> None:
        """Degrade the HR image by kernels (h, w, k, k), at their LR pixels alone."""
        height, width = kernels.shape[:2]
        scale = self._true.scale
        window = self._padded[
            0,
            :,
            scale * row : scale * (row + height - 1) + KERNEL_SIZE,
            scale * column : scale * (column + width - 1) + KERNEL_SIZE,
        ].to(kernels.device)
        redone = apply_kernels(window, kernels, scale)
        self._redone[0, :, row : row + height, column : column + width] = redone.cpu()
