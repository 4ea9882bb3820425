"""Photos written band by band with what came beside the pixels: lossless formats, any size and depth."""

from __future__ import annotations

import logging
import zlib
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from manet_cli.images import exif, iptc, xmp
from manet_cli.images.formats import ImageFormat
from manet_cli.images.photo import Header, Metadata
from manet_cli.images.png_writer import PngWriter, chunk, international_text, zipped_text
from manet_cli.images.tiff_structure import ASCII, BYTE, UNDEFINED
from manet_cli.images.tiff_writer import TiffWriter

__all__ = ["BANDED_FORMATS", "RECORD_KEYWORD", "TIFF_IMAGE_HISTORY", "BandWriter", "sized_exif", "sized_xmp"]

_log = logging.getLogger(__name__)

BANDED_FORMATS = frozenset(("png", "tiff"))
"""Names of the formats that can be written in bands."""

RECORD_KEYWORD = "manet_cli"
TIFF_IMAGE_HISTORY = 0x9213
_XMP_KEYWORD = "XML:com.adobe.xmp"
_IPTC_KEYWORD = "Raw profile type iptc"
_TIFF_XMP, _TIFF_IPTC, _TIFF_PROFILE = 700, 33723, 34675
_METRES_PER_INCH = 0.0254


class BandWriter:
    """Writes a photo as PNG or TIFF (BigTIFF where 4 GB may be too little) from the top down.

    The memory it takes is that of a few bands. Equal photos give equal bytes with one version of zlib,
    however they are cut into bands.

    Args:
        file: an open, empty file; a TIFF needs a seekable one.
        fmt: one of `BANDED_FORMATS`.
        header: the picture's size, channels and depth.
        metadata: what goes beside the pixels; its sizes are updated.
        record: ASCII text that `read_record` gives back.
    """

    def __init__(
        self, file: BinaryIO, fmt: ImageFormat, header: Header, metadata: Metadata, record: str | None = None
    ) -> None:
        self._header = header
        block = sized_exif(metadata, header.width, header.height)
        packet = sized_xmp(metadata, header.width, header.height)
        channels = header.channels + header.has_alpha
        layout = (header.width, header.height, channels, header.bits)
        self._writer: PngWriter | TiffWriter
        if fmt.name == "png":
            self._writer = PngWriter(file, *layout, _png_extras(metadata, block, packet, record))
        else:
            tags = _tiff_tags(metadata, packet, record)
            self._writer = TiffWriter(file, *layout, metadata.dpi, block, tags)

    def write(
        self,
        pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
        alpha: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None,
    ) -> None:
        """Write the next rows: any number of them, (rows, width, channels), and alpha (rows, width)."""
        if alpha is not None:
            pixels = np.concatenate([pixels, alpha[..., np.newaxis]], axis=-1)
        self._writer.write(pixels)

    def finish(self) -> None:
        """Write what makes the file whole, after the last rows; the file stays open."""
        self._writer.finish()


def sized_exif(metadata: Metadata, width: int, height: int) -> bytes | None:
    """Give the EXIF with the size of the picture; None if there is none or it cannot be followed."""
    if metadata.exif is None:
        return None
    try:
        return exif.with_size(metadata.exif, width, height)
    except exif.CorruptTagsError as error:
        _log.warning("the EXIF is damaged and is not written: %s", error)
        return None


def sized_xmp(metadata: Metadata, width: int, height: int) -> bytes | None:
    """Give the XMP with the size of the picture; None if there is none."""
    return None if metadata.xmp is None else xmp.with_size(metadata.xmp, width, height)


def _png_extras(
    metadata: Metadata, block: bytes | None, packet: bytes | None, record: str | None
) -> list[bytes]:
    """Give the chunks that stand before the pixels."""
    chunks = []
    if metadata.icc_profile is not None:
        chunks.append(chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc_profile)))
    if metadata.dpi is not None:
        dots = (round(value / _METRES_PER_INCH) for value in metadata.dpi)
        chunks.append(chunk(b"pHYs", b"".join(value.to_bytes(4, "big") for value in dots) + b"\x01"))
    if record is not None:
        chunks.append(international_text(RECORD_KEYWORD, record.encode("ascii")))
    if packet is not None:
        chunks.append(international_text(_XMP_KEYWORD, packet))
    if metadata.iptc is not None:
        chunks.append(zipped_text(_IPTC_KEYWORD, iptc.to_profile_text(metadata.iptc)))
    if block is not None:
        chunks.append(chunk(b"eXIf", block))
    return chunks


def _tiff_tags(
    metadata: Metadata, packet: bytes | None, record: str | None
) -> dict[int, tuple[int, int, bytes]]:
    """Give type, count and values of the tags that are no EXIF and not about how the pixels are stored."""
    tags = {}
    for tag, kind, value in (
        (_TIFF_XMP, BYTE, packet),
        (_TIFF_IPTC, UNDEFINED, metadata.iptc),
        (_TIFF_PROFILE, UNDEFINED, metadata.icc_profile),
        (TIFF_IMAGE_HISTORY, ASCII, None if record is None else record.encode("ascii") + b"\0"),
    ):
        if value is not None:
            tags[tag] = (kind, len(value), value)
    return tags
