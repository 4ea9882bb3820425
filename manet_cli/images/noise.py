"""Measure the noise of a picture.

Noise is in every block; texture is not. So the noise is a low percentile of the blocks' deviations from a
smooth surface. Three rules separate it from texture that fills the picture. 1. Noise has nearly the same
strength in all blocks: if the percentiles are far apart, the level is lowered. 2. Texture has little
contrast in colour, noise as much as in the luma: the smallest of luma, R-Y and B-Y counts. 3. Without
information in colour (grey; JPEG, which removes colour noise), noise must be in high frequencies too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from manet_cli.images.blocks import (
    BLOCK,
    DCT,
    ORDERS,
    PLACES,
    Floats,
    cut_windows,
    distinct_levels,
    levels_of,
    luma_of,
)

__all__ = ["noise_level"]

_NOISE_BLOCKS = 4096
_FEWEST_BLOCKS = 8
_TINY, _SMALL = 16, 64
"""Numbers of whole blocks: with fewer than the first, noise and texture cannot be separated; with fewer than
the second, blocks overlap by half."""
_FEWEST_SHARE = 0.05
"""Share of the blocks that must be nearly free of clipping."""
_CLIPPED_SHARES = (0.05, 0.5)
_LEVELS_OF_NOISE = 24
_DARKEST, _BRIGHTEST = 1.0, 254.0
_LOW, _MIDDLE = 5, 25
_SPREAD_OF_NOISE = 0.11
"""Distance of these percentiles for pure white noise, as a share of the lower one."""

# The low percentile for white noise of level 1 in all three channels, of the luma, R-Y and B-Y (measured);
# the same for noise of level 1 in a grey picture; and the share of it that the high frequencies show.
_COLOUR_GAINS = (0.62, 0.62 * 1.29, 0.62 * 1.55)
_GREY_GAIN = 0.86
_HIGH_GAIN = 0.9


def _rough_part() -> Floats:
    """Return the projection (64, 64) that removes the fitted quadratic surface from a block."""
    row, column = (axis.ravel() / 4 for axis in np.mgrid[0:BLOCK, 0:BLOCK] - 3.5)
    terms = np.stack([np.ones(PLACES), row, column, row * column, row * row, column * column], axis=1)
    basis = np.linalg.qr(terms)[0]
    rough: Floats = (np.eye(PLACES) - basis @ basis.T).astype(np.float32)
    return rough


_ROUGH = _rough_part()
_ROUGH_FREEDOM = PLACES - 6
_HIGH = np.kron(DCT, DCT)[ORDERS >= BLOCK].astype(np.float32)


def noise_level(pixels: npt.NDArray[Any], *, is_jpeg: bool) -> float:
    """Return the standard deviation of the noise, levels of 255."""
    whole = (pixels.shape[0] // BLOCK) * (pixels.shape[1] // BLOCK)
    if whole < _TINY:
        return 0.0
    small = whole < _SMALL
    cut = cut_windows(pixels, BLOCK, BLOCK // 2 if small else BLOCK, _NOISE_BLOCKS)
    blocks = _unclipped(levels_of(cut).reshape(len(cut), PLACES, pixels.shape[2]))
    if len(blocks) < _FEWEST_BLOCKS:
        return 0.0
    luma = luma_of(blocks)
    drawn = _drawn(luma)
    if blocks.shape[2] == 1 or float(np.ptp(blocks, axis=2).max()) == 0:
        return _strict_floor(luma, drawn) / _GREY_GAIN
    planes = (luma, blocks[..., 0] - luma, blocks[..., 2] - luma)
    floor = _strict_floor if small else _floor
    level = min(floor(plane, drawn) / gain for plane, gain in zip(planes, _COLOUR_GAINS, strict=True))
    return max(level, _strict_floor(luma, drawn) / _COLOUR_GAINS[0]) if is_jpeg else level


def _unclipped(blocks: Floats) -> Floats:
    """Return the blocks (N, 64, C) with little clipping; if there are too few, also half-clipped blocks.

    Returns no blocks if these are too few to represent the picture.
    """
    clipped = ((blocks <= _DARKEST) | (blocks >= _BRIGHTEST)).mean(axis=1).max(axis=1)
    for share in _CLIPPED_SHARES:
        kept = clipped <= share
        if kept.mean() >= _FEWEST_SHARE:
            return np.asarray(blocks[kept])
    return blocks[:0]


def _drawn(luma: Floats) -> npt.NDArray[np.bool_]:
    """Return a mask of the blocks (N, 64) with fewer distinct levels than noise of the same contrast has."""
    distinct = distinct_levels(luma)
    drawn: npt.NDArray[np.bool_] = distinct < np.minimum(2 * luma.std(axis=1) + 3, _LEVELS_OF_NOISE)
    return drawn


def _floor(plane: Floats, drawn: npt.NDArray[np.bool_]) -> float:
    return max(_floors(plane, drawn, 0.5))


def _strict_floor(plane: Floats, drawn: npt.NDArray[np.bool_]) -> float:
    return min(_floors(plane, drawn, 1.0))


def _floors(plane: Floats, drawn: npt.NDArray[np.bool_], steepness: float) -> tuple[float, float]:
    """Return the deviation that nearly all blocks reach, in all frequencies and in the high frequencies.

    Args:
        plane: (N, 64).
        drawn: (N,), mask of blocks without noise.
        steepness: factor on the distance between a low and a middle percentile, reduced by this distance for
            pure noise; the product is subtracted.
    """
    rough = np.sqrt(np.square(plane @ _ROUGH).sum(axis=1) / _ROUGH_FREEDOM)
    high = np.sqrt(np.square(plane @ _HIGH.T).mean(axis=1)) / _HIGH_GAIN
    floors = []
    for deviations in (rough, high):
        low, middle = (float(part) for part in np.percentile(np.where(drawn, 0, deviations), [_LOW, _MIDDLE]))
        excess = max(middle - low * (1 + _SPREAD_OF_NOISE), 0.0)
        floors.append(max(low - steepness * excess, 0.0))
    return floors[0], floors[1]
