"""XMP packets edited as text, so that what is not touched stays as it was written."""

from __future__ import annotations

import re

__all__ = ["cleaned", "with_size"]

_THUMBNAILS = re.compile(rb"<xmp:Thumbnails\b.*?</xmp:Thumbnails>\s*", re.DOTALL)
_WIDTHS = (b"tiff:ImageWidth", b"exif:PixelXDimension")
_HEIGHTS = (b"tiff:ImageLength", b"exif:PixelYDimension")


def cleaned(packet: bytes) -> bytes:
    """Give the packet of a file just read: orientation 1 where it has one, no thumbnails."""
    return _THUMBNAILS.sub(b"", _with_number(packet, b"tiff:Orientation", 1))


def with_size(packet: bytes, width: int, height: int) -> bytes:
    """Give the packet with the sizes that it has set to these pixels."""
    for names, value in ((_WIDTHS, width), (_HEIGHTS, height)):
        for name in names:
            packet = _with_number(packet, name, value)
    return packet


def _with_number(packet: bytes, name: bytes, value: int) -> bytes:
    """Give the packet with a property, be it an attribute or an element, set to `value` where it is there."""
    pattern = rb"(" + name + rb"\s*(?:=\s*[\"']|>)\s*)\d+"
    return re.sub(pattern, rb"\g<1>%d" % value, packet)
