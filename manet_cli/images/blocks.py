"""Small windows of a picture, and the DCT of its blocks of 8x8 pixels."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "BLOCK",
    "DCT",
    "ORDERS",
    "PLACES",
    "Floats",
    "cut_windows",
    "distinct_levels",
    "levels_of",
    "luma_of",
    "spread",
]

Floats: TypeAlias = npt.NDArray[np.float32]

BLOCK = 8
"""Side of a block of JPEG, in pixels."""
PLACES = BLOCK * BLOCK

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def cut_windows(pixels: npt.NDArray[Any], side: int, step: int, most: int) -> npt.NDArray[Any]:
    """Cut square windows at multiples of `step`, spread evenly over the picture.

    Returns (N, side, side, C) in the pixels' type. N is at most about `most`, and 0 if the picture is smaller
    than a window.
    """
    counts = [max((length - side) // step + 1, 0) for length in pixels.shape[:2]]
    thinning = max((counts[0] * counts[1] / most) ** 0.5, 1.0)
    rows, columns = (spread(count, round(count / thinning)) * step for count in counts)
    places = [axis.ravel()[:, None, None] for axis in np.meshgrid(rows, columns, indexing="ij")]
    kept = spread(len(places[0]), most)
    inside = np.arange(side)
    windows: npt.NDArray[Any] = pixels[places[0][kept] + inside[:, None], places[1][kept] + inside]
    return windows


def spread(count: int, wanted: int) -> npt.NDArray[np.intp]:
    """Return at most `wanted` evenly spaced numbers below `count`; at least one if `count` is above 0."""
    kept = min(max(wanted, 1), count)
    return np.arange(kept, dtype=np.intp) * count // max(kept, 1)


def levels_of(values: npt.NDArray[Any]) -> Floats:
    """Return pixel values as levels of 255."""
    levels: Floats = values.astype(np.float32)
    if values.dtype == np.uint16:
        levels /= 257
    return levels


def luma_of(levels: Floats) -> Floats:
    """Return the luma (...) of levels (..., C), C = 1 or 3."""
    luma: Floats = levels[..., 0] if levels.shape[-1] == 1 else levels @ _LUMA
    return luma


def distinct_levels(values: Floats) -> npt.NDArray[np.intp]:
    """Return the number of distinct values in each row."""
    counts: npt.NDArray[np.intp] = (np.diff(np.sort(values, axis=1), axis=1) > 0).sum(axis=1) + 1
    return counts


def _cosines() -> npt.NDArray[np.float64]:
    """Return the orthonormal DCT of 8 values, (frequency, place)."""
    order, place = np.mgrid[0:BLOCK, 0:BLOCK]
    rows: npt.NDArray[np.float64] = np.cos((2 * place + 1) * order * np.pi / (2 * BLOCK)) / 2
    rows[0] /= 2**0.5
    return rows


DCT = _cosines()
"""The DCT of 8 values, orthonormal: (frequency, place)."""
ORDERS = np.add.outer(np.arange(BLOCK), np.arange(BLOCK)).ravel()
"""Sum of both frequencies of each value of a block's DCT, row by row: 0 for the mean, at most 14."""
