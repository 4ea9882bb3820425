"""Check a result against its input: blurred and subsampled again, it should match the input.

This needs no HR image: the result is degraded as in the published protocol, with the kernel of each input
pixel, and compared with the input. It works on rows as they are finished, in bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from manet_cli.degradations.blur import apply_kernels
from manet_cli.evaluation.metrics import LR_PSNR_CAP, luma
from manet_cli.inference import KernelTile, LowResolution

__all__ = ["Agreement", "Kernels", "SelfCheck"]

REGION = 32
"""Approximate side of a region in input pixels."""

_ROWS = 64  # input rows compared together; a multiple of the estimator's row multiple
_MAX_BYTES = 32 * 2**20  # products of result and kernels in memory at a time

Kernels = Callable[[int, int], Iterator[KernelTile]]
"""Yields the kernels of LR rows [start, stop), start a multiple of 8."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of a degraded result with its input: PSNR-Y in dB, at most 100, both in 8 bits.

    Attributes:
        lr_psnr: PSNR of the picture without a border of s pixels (with it, if a side is under 4 s pixels).
        worst_psnr: PSNR of the region with the lowest PSNR.
        worst_box: this region: left, top, width and height in input pixels.
    """

    lr_psnr: float
    worst_psnr: float
    worst_box: tuple[int, int, int, int]


class SelfCheck:
    """Takes the rows of a result from the top down and computes their agreement with the input.

    Args:
        lr: the input; only its first layer is compared.
        kernels: kernels of the input, read once from the top down.
        scale: result pixels per input pixel along a side.
        kernel_size: side of the kernels.
        registered: whether the result is aligned with the input; otherwise it has the published offset.
    """

    def __init__(
        self, lr: LowResolution, kernels: Kernels, *, scale: int, kernel_size: int, registered: bool
    ) -> None:
        self._lr = lr
        self._kernels = kernels
        self._scale = scale
        self._size = kernel_size
        # A registered result is the published one moved down and right by s - 1 pixels.
        self._before = kernel_size // 2 - (scale - 1 if registered else 0)
        self._after = kernel_size - 1 - self._before
        border = scale if min(lr.height, lr.width) >= 4 * scale else 0
        self._inside = (slice(border, lr.height - border), slice(border, lr.width - border))
        self._grid = tuple(max(1, round(side / REGION)) for side in (lr.height, lr.width))
        self._errors = torch.zeros(self._grid, dtype=torch.float64)
        self._counts = torch.zeros(self._grid, dtype=torch.float64)
        self._held = torch.empty(3, 0, scale * lr.width + kernel_size - 1)
        self._first = -self._before  # result row of the first row in self._held
        self._next = 0  # next input row to compare

    def add(self, rows: Tensor) -> None:
        """Add the next rows of the result, (3, n, s * width) in [0, 1]."""
        padded = F.pad(rows, (self._before, self._after, 0, 0), mode="replicate")
        above = padded[:, :1].expand(-1, self._before, -1) if self._held.shape[1] == 0 else padded[:, :0]
        self._held = torch.cat((self._held, above, padded), dim=1)
        if self._first + self._held.shape[1] == self._scale * self._lr.height:
            below = self._held[:, -1:].expand(-1, self._after, -1)
            self._held = torch.cat((self._held, below), dim=1)
        while self._next < self._lr.height:
            stop = min(self._next + _ROWS, self._lr.height)
            if self._first + self._held.shape[1] < self._scale * (stop - 1) + self._after + 1:
                return
            self._compare(stop)

    def agreement(self) -> Agreement:
        """Return the figures, after all rows were added."""
        regions = _psnr(self._errors, self._counts)
        worst = int(regions.argmin())
        rows, columns = self._grid
        top, bottom = (-(-(worst // columns + more) * self._lr.height // rows) for more in (0, 1))
        left, right = (-(-(worst % columns + more) * self._lr.width // columns) for more in (0, 1))
        return Agreement(
            float(_psnr(self._errors.sum(), self._counts.sum())),
            float(regions.flatten()[worst]),
            (left, top, right - left, bottom - top),
        )

    def _compare(self, stop: int) -> None:
        """Compare input rows up to ``stop`` and free the result rows that are no longer needed."""
        start, scale, size = self._next, self._scale, self._size
        again = torch.empty(1, 3, stop - start, self._lr.width)
        for tile in self._kernels(start, stop):
            _, height, width = tile.kernels.shape
            step = max(1, _MAX_BYTES // (12 * size**2 * width))
            for row in range(0, height, step):
                part = tile.kernels[:, row : row + step]
                kernels = part.permute(1, 2, 0).reshape(-1, width, size, size)
                top = scale * (tile.row + row) - self._before - self._first
                window = self._held[
                    :,
                    top : top + scale * (len(kernels) - 1) + size,
                    scale * tile.column : scale * (tile.column + width - 1) + size,
                ]
                found = apply_kernels(window.to(kernels.device), kernels, scale).cpu()
                at = tile.row - start + row
                again[0, :, at : at + len(kernels), tile.column : tile.column + width] = found
        self._count(start, (luma(again) - luma(self._lr.rows(start, stop)[:1])).square())
        self._next = stop
        keep = scale * stop - self._before
        self._held = self._held[:, keep - self._first :].clone()
        self._first = keep

    def _count(self, start: int, errors: Tensor) -> None:
        """Add the squared errors (h, W) of input rows from ``start`` on to their regions."""
        rows, columns = (torch.arange(side) for side in (self._lr.height, self._lr.width))
        rows, columns = rows[self._inside[0]], columns[self._inside[1]]
        rows = rows[(rows >= start) & (rows < start + len(errors))]
        errors = errors[rows - start][:, self._inside[1]].flatten()
        rows, columns = rows * self._grid[0] // self._lr.height, columns * self._grid[1] // self._lr.width
        regions = (rows[:, None] * self._grid[1] + columns).flatten()
        self._errors.view(-1).index_add_(0, regions, errors)
        self._counts.view(-1).index_add_(0, regions, torch.ones_like(errors))


def _psnr(errors: Tensor, counts: Tensor) -> Tensor:
    """Return the PSNR in dB from sums of squared errors; `LR_PSNR_CAP` where the count is 0."""
    mean = (errors / counts.clamp(min=1)).clamp(min=255**2 * 10 ** (-LR_PSNR_CAP / 10))
    return 10 * torch.log10(255**2 / mean)
