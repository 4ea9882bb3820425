"""Data for a picture of the blur, gathered tile by tile; memory does not grow with the image."""

from __future__ import annotations

import torch
from torch import Tensor

from manet_cli.degradations.kernel_shape import KernelShapes
from manet_cli.evaluation.kernel_summary import KernelSummary
from manet_cli.jobs.kernels.shaped_tiles import ShapedTile

__all__ = ["KernelSurvey"]


class KernelSurvey:
    """A map of the blur size, and the kernels of a grid of pixels.

    Args:
        height: of the image, LR pixels.
        width: likewise.
        scale: HR pixels per LR pixel.
        kernel_size: side of the kernels.
        largest: largest side of the map; pixels of larger images are averaged in squares.
        cell: smallest side of a grid cell, in pixels of the map.

    Attributes:
        factor: LR pixels per map pixel along a side.
        rows, columns: LR rows and columns of the grid's pixels, each in the middle of its cell.
        kernels: (rows, columns, k, k) float32.
        shapes: (rows, columns) each.
        trusted: (rows, columns), mask of reliable pixels.
        summary: of all pixels.
    """

    def __init__(
        self, height: int, width: int, scale: int, *, kernel_size: int, largest: int, cell: float
    ) -> None:
        self.height, self.width, self.scale = height, width, scale
        self.factor = -(-max(height, width) // largest)
        self.rows, self.columns = (_middles(side, cell * self.factor) for side in (height, width))
        grid = (len(self.rows), len(self.columns))
        self.kernels = torch.zeros(*grid, kernel_size, kernel_size)
        self.shapes = KernelShapes(torch.ones(grid), torch.ones(grid), torch.zeros(grid))
        self.trusted = torch.zeros(grid, dtype=torch.bool)
        self.summary = KernelSummary(scale)
        # Sum of log blur sizes over reliable pixels, number of reliable pixels, number of all pixels.
        self._sums = torch.zeros(3, -(-height // self.factor), -(-width // self.factor), dtype=torch.float64)

    def add(self, shaped: ShapedTile) -> None:
        """Add a tile."""
        trusted = shaped.trusted
        self.summary.add(shaped.shapes, trusted)
        row, column = shaped.tile.row, shaped.tile.column
        height, width = trusted.shape
        mask = trusted.double()
        values = torch.stack((shaped.shapes.size.double().log() * mask, mask, torch.ones_like(mask)))
        first_row, above = _binning(row, height, self.factor)
        first_column, beside = _binning(column, width, self.factor)
        sums = above @ values @ beside.T
        bottom, right = first_row + sums.shape[1], first_column + sums.shape[2]
        self._sums[:, first_row:bottom, first_column:right] += sums
        self._keep(shaped, row, column, height, width)

    def _keep(self, shaped: ShapedTile, row: int, column: int, height: int, width: int) -> None:
        y, x = self.rows - row, self.columns - column
        rows, columns = ((place >= 0) & (place < side) for place, side in ((y, height), (x, width)))
        here = torch.meshgrid(y[rows], x[columns], indexing="ij")
        there = torch.meshgrid(rows.nonzero()[:, 0], columns.nonzero()[:, 0], indexing="ij")
        device = shaped.kernels.device
        self.kernels[there] = shaped.kernels[here[0].to(device), here[1].to(device)].float().cpu()
        self.trusted[there] = shaped.trusted[here]
        for kept, values in zip(self.shapes, shaped.shapes, strict=True):
            kept[there] = values[here]

    def shape(self, row: int, column: int) -> tuple[float, float, float]:
        """Return sigma_x, sigma_y (HR pixels) and theta (degrees) of a pixel of the grid."""
        sigma_x, sigma_y, theta = (float(values[row, column]) for values in self.shapes)
        return sigma_x, sigma_y, theta

    @property
    def size(self) -> Tensor:
        """Blur size in HR pixels: geometric mean over the reliable pixels of each square, (h, w)."""
        return (self._sums[0] / self._sums[1].clamp(min=1)).exp()

    @property
    def trust(self) -> Tensor:
        """Share of reliable pixels in each square, (h, w) in [0, 1]."""
        return self._sums[1] / self._sums[2].clamp(min=1)


def _middles(side: int, cell: float) -> Tensor:
    """Return the middles of equal cells of at least ``cell`` pixels; at least one cell."""
    count = max(int(side // cell), 1)
    return ((torch.arange(count, dtype=torch.float64) + 0.5) * (side / count)).long()


def _binning(start: int, length: int, factor: int) -> tuple[int, Tensor]:
    """Return the first bin of pixels [start, start + length), and the matrix that sums pixels by bin."""
    first = start // factor
    places = torch.arange(start, start + length) // factor - first
    matrix = torch.zeros(int(places[-1]) + 1, length, dtype=torch.float64)
    matrix[places, torch.arange(length)] = 1
    return first, matrix
