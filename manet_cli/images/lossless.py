"""The encoders of PNG and TIFF, which write bands of rows in any size and depth, with all metadata.

TIFF: EXIF is merged into the file's directories. The descriptive tags and the Exif, GPS and interoperability
directories are kept, values unchanged. MakerNote is kept byte for byte, but offsets inside it become invalid.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from manet_cli.images import iptc
from manet_cli.images.encoding import OutputSpec
from manet_cli.images.photo import Header
from manet_cli.images.png_writer import PngWriter, chunk, international_text, zipped_text
from manet_cli.images.tiff_structure import ASCII, BYTE, UNDEFINED
from manet_cli.images.tiff_writer import TiffWriter

__all__ = ["RECORD_KEYWORD", "TIFF_IMAGE_HISTORY", "png_encoder", "tiff_encoder"]

RECORD_KEYWORD = "manet_cli"
TIFF_IMAGE_HISTORY = 0x9213
_XMP_KEYWORD = "XML:com.adobe.xmp"
_IPTC_KEYWORD = "Raw profile type iptc"
_TIFF_XMP, _TIFF_IPTC, _TIFF_PROFILE = 700, 33723, 34675
_METRES_PER_INCH = 0.0254


class _BandEncoder:
    """Writes a photo from the top down, with memory for a few bands.

    With one version of zlib, equal photos give equal bytes, for any division into bands.
    """

    def __init__(self, writer: PngWriter | TiffWriter) -> None:
        self._writer = writer

    def write(
        self,
        pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
        alpha: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None,
    ) -> None:
        """Write the next rows, any number: (rows, width, channels), and alpha (rows, width)."""
        if alpha is not None:
            pixels = np.concatenate([pixels, alpha[..., np.newaxis]], axis=-1)
        self._writer.write(pixels)

    def finish(self) -> None:
        """Complete the file after the last rows."""
        self._writer.finish()


def png_encoder(file: BinaryIO, spec: OutputSpec) -> _BandEncoder:
    """Start a PNG file."""
    return _BandEncoder(PngWriter(file, *_layout(spec.header), _png_extras(spec)))


def tiff_encoder(file: BinaryIO, spec: OutputSpec) -> _BandEncoder:
    """Start a TIFF file, or a BigTIFF if it may exceed 4 GB."""
    metadata = spec.metadata
    return _BandEncoder(
        TiffWriter(file, *_layout(spec.header), metadata.dpi, metadata.exif, _tiff_tags(spec))
    )


def _layout(header: Header) -> tuple[int, int, int, int]:
    """Return width, height, channels with alpha, and bits."""
    return header.width, header.height, header.channels + header.has_alpha, header.bits


def _png_extras(spec: OutputSpec) -> list[bytes]:
    """Return the chunks before the pixels."""
    metadata = spec.metadata
    chunks = []
    if metadata.icc_profile is not None:
        chunks.append(chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc_profile)))
    if metadata.dpi is not None:
        dots = (round(value / _METRES_PER_INCH) for value in metadata.dpi)
        chunks.append(chunk(b"pHYs", b"".join(value.to_bytes(4, "big") for value in dots) + b"\x01"))
    if spec.record is not None:
        chunks.append(international_text(RECORD_KEYWORD, spec.record.encode("ascii")))
    if metadata.xmp is not None:
        chunks.append(international_text(_XMP_KEYWORD, metadata.xmp))
    if metadata.iptc is not None:
        chunks.append(zipped_text(_IPTC_KEYWORD, iptc.to_profile_text(metadata.iptc)))
    if metadata.exif is not None:
        chunks.append(chunk(b"eXIf", metadata.exif))
    return chunks


def _tiff_tags(spec: OutputSpec) -> dict[int, tuple[int, int, bytes]]:
    """Return type, count and values of tags other than EXIF and pixel layout, the record first."""
    metadata = spec.metadata
    tags = {}
    for tag, kind, value in (
        (TIFF_IMAGE_HISTORY, ASCII, None if spec.record is None else spec.record.encode("ascii") + b"\0"),
        (_TIFF_XMP, BYTE, metadata.xmp),
        (_TIFF_IPTC, UNDEFINED, metadata.iptc),
        (_TIFF_PROFILE, UNDEFINED, metadata.icc_profile),
    ):
        if value is not None:
            tags[tag] = (kind, len(value), value)
    return tags
