"""A photo in memory: pixels, straight alpha and metadata."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

__all__ = ["Header", "Metadata", "Photo"]


@dataclass(frozen=True)
class Header:
    """Size and layout of a photo, also before it is decoded or written.

    `width` and `height`: pixels, after the orientation. `channels`: 1 (grey) or 3 (RGB), without alpha.
    `has_alpha`: whether there is also transparency. `bits`: per channel, 8 or 16.
    """

    width: int
    height: int
    channels: int
    has_alpha: bool
    bits: int


@dataclass(frozen=True)
class Metadata:
    r"""Metadata of a file. Each field is None if the file has none.

    `exif`: the EXIF block without the `Exif\0\0` of JPEG, so it begins with `II` or `MM`; orientation 1, no
    thumbnail.
    `icc_profile`: the ICC profile. `xmp`: the XMP packet, UTF-8, orientation 1, no thumbnail. `iptc`: IPTC
    captions and keywords, without a wrapper. `dpi`: dots per inch (x, y), both above 0. `size`: width
    and height of the upright picture to which EXIF and XMP refer.
    """

    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Photo:
    """One upright picture.

    `pixels`: (H, W, C), uint8 or native uint16, C is 1 (grey) or 3 (RGB), the full range of the type.
    `alpha`: (H, W) of the same type, straight (the colours are not multiplied by it), or None.
    `metadata`: metadata of the file.
    `jpeg_quality`: quality of the source JPEG, 1 to 100; None for other sources.
    """

    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    alpha: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None
    metadata: Metadata
    jpeg_quality: float | None = None

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return int(self.pixels.shape[1])

    @property
    def header(self) -> Header:
        """Header of the photo."""
        height, width, channels = self.pixels.shape
        return Header(width, height, channels, self.alpha is not None, self.pixels.dtype.itemsize * 8)

    def middle(self, side: int) -> Photo:
        """Return the middle square of at most ``side`` pixels a side, as a view."""
        top, left = max(self.height - side, 0) // 2, max(self.width - side, 0) // 2
        rows, columns = slice(top, top + side), slice(left, left + side)
        alpha = None if self.alpha is None else self.alpha[rows, columns]
        return replace(self, pixels=self.pixels[rows, columns], alpha=alpha)
