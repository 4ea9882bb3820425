"""Warnings of libjpeg during decoding, which Pillow does not report.

They need the extra `jpeg` (simplejpeg) or the extra `vips` (pyvips).
"""

from __future__ import annotations

from manet_cli.images import sixteen_bit

__all__ = ["is_damage", "is_extraneous", "warnings_of"]

_DAMAGE = ("premature end of data segment", "bad huffman code", "instead of rst")
_EXTRANEOUS = "extraneous bytes"


def warnings_of(data: bytes) -> list[str] | None:
    """Return the first warnings about a JPEG file, perhaps not all; None if unknown.

    An empty list means no warnings.

    Args:
        data: the file.
    """
    for ask in (_of_simplejpeg, _of_vips):
        try:
            return ask(data)
        except (ImportError, OSError):
            continue
    return None


def is_damage(warning: str) -> bool:
    """Whether a warning is about missing or undecodable blocks."""
    return any(words in warning.lower() for words in _DAMAGE)


def is_extraneous(warning: str) -> bool:
    """Whether a warning is about bytes that no block needs."""
    return _EXTRANEOUS in warning


def _of_simplejpeg(data: bytes) -> list[str]:
    import simplejpeg  # type: ignore[import-untyped,unused-ignore]

    try:
        colours = simplejpeg.decode_jpeg_header(data, strict=False)[2]
        colours = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(colours, "RGB")
        # At an eighth of the size all codes are still read, but few pixels are computed.
        simplejpeg.decode_jpeg(data, colours, min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as error:
        return [str(error)]
    return []


def _of_vips(data: bytes) -> list[str] | None:
    pyvips = sixteen_bit.load_vips()
    try:
        image = pyvips.Image.jpegload_buffer(data, shrink=8, access="sequential", fail_on="warning")
        image.avg()
    except pyvips.Error as error:
        return [line.removeprefix("VipsJpeg: ") for line in str(error.detail).splitlines() if line]
    return None  # libvips ignores the warnings of the last rows
