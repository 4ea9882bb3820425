"""Integers <-> floats, and straight <-> premultiplied alpha, with NumPy only."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["premultiply", "to_float", "to_integer", "unpremultiply"]

_Integer = TypeVar("_Integer", np.uint8, np.uint16)


def to_float(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Convert `values` (any shape, uint8 or uint16) to float32: 0 to 1 for the full range."""
    floats: npt.NDArray[np.float32] = values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    return floats


def to_integer(values: npt.NDArray[np.floating], dtype: type[_Integer]) -> npt.NDArray[_Integer]:
    """Convert `values` (any shape, floats) to `dtype` (uint8 or uint16); 1 becomes the type's largest value.

    Values are clamped to [0, 1], then rounded to the nearest integer, halves to even.
    """
    largest = np.float32(np.iinfo(dtype).max)
    integers: npt.NDArray[_Integer] = np.rint(np.clip(values, 0.0, 1.0) * largest).astype(dtype)
    return integers


def premultiply(
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    alpha: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
) -> npt.NDArray[np.float32]:
    """Multiply straight colours by their alpha.

    `pixels`: (H, W, C) uint8 or uint16. `alpha`: (H, W) likewise. Returns (H, W, C) float32 in [0, 1].
    """
    return to_float(pixels) * to_float(alpha)[..., np.newaxis]


def unpremultiply(
    premultiplied: npt.NDArray[np.floating], alpha: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """Divide the alpha out of premultiplied colours.

    `premultiplied`: (H, W, C) floats. `alpha`: (H, W) floats, 1 is opaque. Returns (H, W, C) float32 straight
    colours in [0, 1]: clamped, and 0 where alpha is 0 or below.
    """
    weight = alpha.astype(np.float32)[..., np.newaxis]
    visible = weight > 0.0
    colours = premultiplied.astype(np.float32) / np.where(visible, weight, np.float32(1.0))
    return np.where(visible, np.clip(colours, 0.0, 1.0), np.float32(0.0))
