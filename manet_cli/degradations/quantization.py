"""Rounding to the 256 levels of an 8-bit image."""

from __future__ import annotations

from torch import Tensor

__all__ = ["apply_quantization"]


def apply_quantization(image: Tensor) -> Tensor:
    """Clamp to [0, 1] and round to the nearest multiple of 1/255 (halves to the even level); any shape."""
    return (image.clamp(0, 1) * 255).round() / 255
