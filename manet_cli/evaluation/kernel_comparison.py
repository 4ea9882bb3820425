"""Metrics of estimated kernels, accumulated tile by tile without a map of the whole image."""

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
"""Upper limit of every figure in dB, and of each pixel's kernel PSNR, so that none is infinite."""

_MAX_BYTES = 32 * 2**20
"""Largest size of the kernels compared at a time, bytes in float32."""


class KernelComparison:
    """Accumulates tiles of estimated kernels and computes their three figures.

    Args:
        degraded: the LR image of the estimates, with its HR image (1, 3, H, W) and true kernels.
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
        """Add a tile of estimated kernels; every LR pixel belongs to one tile."""
        channels, rows, columns = tile.kernels.shape
        # A row needs the true kernels of the whole width and the HR windows of the tile's width.
        bytes_per_row = 4 * channels * max(self._true.lr_width, 3 * columns)
        step = max(1, _MAX_BYTES // bytes_per_row)
        for start in range(0, rows, step):
            part = tile.kernels[:, start : start + step]
            kernels = part.permute(1, 2, 0).reshape(-1, columns, KERNEL_SIZE, KERNEL_SIZE)
            self._compare(kernels, tile.row + start, tile.column)
            self._redo(kernels, tile.row + start, tile.column)

    @property
    def per_pixel(self) -> float:
        """Mean kernel PSNR over the LR pixels, dB."""
        return self._decibels / self._pixels

    @property
    def mean_kernel(self) -> float:
        """Kernel PSNR of the mean estimated kernel against the mean true kernel, dB."""
        estimated, true = self._sums / self._pixels
        return min(float(kernel_psnr(estimated, true)), DECIBEL_CAP)

    @property
    def lr_psnr(self) -> float | None:
        """PSNR-Y of the HR image degraded by the estimated kernels against the LR image, dB.

        Both images are taken before noise and JPEG, rounded to 8 bits, without a border of `scale` pixels;
        None if no pixel is left.
        """
        border = self._true.scale
        if min(self._lr_clean.shape[-2:]) <= 2 * border:
            return None
        return min(psnr_y(self._redone, self._lr_clean, border=border), DECIBEL_CAP)

    def _compare(self, kernels: Tensor, row: int, column: int) -> None:
        """Compare kernels (h, w, k, k), the first at LR pixel (row, column), with the true kernels."""
        height, width = kernels.shape[:2]
        true = self._true.lr_rows(row, row + height)[:, column : column + width].to(kernels.device)
        self._decibels += float(kernel_psnr(kernels, true).clamp(max=DECIBEL_CAP).sum())
        self._sums[0] += kernels.cpu().double().sum(dim=(0, 1))
        self._sums[1] += true.cpu().double().sum(dim=(0, 1))
        self._pixels += height * width

    def _redo(self, kernels: Tensor, row: int, column: int) -> None:
        """Degrade the HR image with kernels (h, w, k, k), only at their LR pixels."""
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
