"""ICC profiles that are made here, always the same bytes for the same colours."""

from __future__ import annotations

from PIL import ImageCms

__all__ = ["srgb"]

_CREATED = slice(24, 36)  # of a profile's bytes: year, month, day, hour, minute, second
_THE_YEAR_2000 = bytes((0x07, 0xD0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))


def srgb() -> bytes:
    """Return a profile of sRGB."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    content[_CREATED] = _THE_YEAR_2000
    return bytes(content)
