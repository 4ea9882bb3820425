"""Move kernels from other tools, centred in the array, to the published placement.

The published kernels of side k for scale s have their centre at (k - s) / 2, see `gaussian`. Nearly all other
tools put it at (k - 1) / 2. The difference is (s - 1) / 2 pixels: half a pixel for x2, which costs 2 dB.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from manet_cli.degradations.gaussian import placed_side

__all__ = ["is_centred", "moved_to_placement"]

_NEAR = 0.25
"""Tolerance for a centre of mass, as a share of the distance between the two placements."""


def is_centred(kernel: Tensor, scale: int) -> bool:
    """Whether the centre of mass of a kernel (k, k), or of a sum of kernels, is the centre of the array."""
    size = kernel.shape[-1]
    values = kernel.double()
    positions = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    total = float(values.sum())
    if total <= 0:
        return False
    down, right = (float((values.sum(dim=dim) * positions).sum()) / total for dim in (1, 0))
    return math.hypot(down, right) <= _NEAR * (scale - 1) / 2


def moved_to_placement(kernels: Tensor, scale: int) -> Tensor:
    """Move kernels (..., k, k) from the centre of the array to the published placement.

    Shifts by whole pixels (x3) are exact. Half-pixel shifts (x2, x4) use sinc interpolation, which keeps the
    sharpness; negative values become 0. Very narrow kernels change: the largest value of a Gaussian is off by
    20 % at a standard deviation of 0.6 pixels, by 5 % at 0.8 and by 0.4 % at 1. Rows and columns that
    are zero in published kernels are set to zero. Returns the same shape and type; each kernel sums to 1.
    """
    shift = _shift(kernels.shape[-1], scale).to(kernels.device)
    moved = (shift @ kernels.double() @ shift.T).clamp(min=0)
    return (moved / moved.sum(dim=(-2, -1), keepdim=True)).to(kernels.dtype)


@functools.lru_cache(maxsize=4)
def _shift(size: int, scale: int) -> Tensor:
    """Return the float64 matrix (k, k) that moves a column up by (scale - 1) / 2 pixels."""
    places = torch.arange(size, dtype=torch.float64)
    matrix = torch.sinc(places[:, None] + (scale - 1) / 2 - places[None, :])
    matrix[placed_side(size, scale) :] = 0
    return matrix
