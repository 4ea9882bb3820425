"""Facts about a network for tiling."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Footprint"]


@dataclass(frozen=True)
class Footprint:
    """How output pixels of a network depend on its input.

    Attributes:
        scale: output pixels per input pixel along a side.
        size_multiple: tiles (context included) must start and end on multiples of this many input pixels.
        radius: input pixels to each side that can affect an output pixel. With this context tiling is exact.
        practical_radius: input pixels to each side whose effect is visible in 8 bits with trained weights,
            measured by ``benchmarks/seams.py``.
    """

    scale: int
    size_multiple: int
    radius: int
    practical_radius: int
