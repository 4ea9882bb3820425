"""Facts that Pillow does not report, read from the first bytes, the chunks and the boxes of a file."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from manet_cli.images import jpeg2000

__all__ = [
    "PNG_GREY",
    "PNG_GREY_ALPHA",
    "TIFF_BITS_PER_SAMPLE",
    "TIFF_EXTRA_SAMPLES",
    "TIFF_FLOAT",
    "TIFF_ORIENTATION",
    "TIFF_PHOTOMETRIC",
    "TIFF_SAMPLE_FORMAT",
    "TIFF_SIGNED",
    "avif_depth",
    "content_of",
    "gif_is_whole",
    "kind_of",
    "nclx",
    "png_chunk",
    "png_depth",
    "png_is_sound",
    "png_is_whole",
    "png_profile",
    "ppm_depth",
]

PNG_GREY, PNG_GREY_ALPHA = 0, 4
TIFF_BITS_PER_SAMPLE = 258
TIFF_PHOTOMETRIC = 262
TIFF_ORIENTATION = 274
TIFF_EXTRA_SAMPLES = 338
TIFF_SAMPLE_FORMAT = 339
TIFF_SIGNED, TIFF_FLOAT = 2, 3

_LONGEST_BRANDS = 256
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GIF_FRAME, _GIF_EXTENSION, _GIF_TRAILER = b",!;"
_PPM_KINDS, _PPM_BITMAPS, _PPM_SPACES = b"123456", b"14", b" \t\n\v\f\r#"
_PPM_HEADER = 1 << 16
_CHECKED_AT_ONCE = 1 << 20


def content_of(file: BinaryIO) -> bytes:
    """Return all bytes of a file; a file in memory is not copied."""
    if isinstance(file, io.BytesIO):
        return file.getvalue()
    file.seek(0)
    return file.read()


def kind_of(file: BinaryIO) -> str | None:
    """Return the format by the first bytes of `file`; None if it is not readable."""
    file.seek(0)
    start = file.read(12)
    if start.startswith(_PNG_SIGNATURE[:4]):
        return "PNG"
    if start.startswith(b"\xff\xd8"):
        return "JPEG"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WebP"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if start.startswith(b"BM"):
        return "BMP"
    if start.startswith((jpeg2000.SIGNATURE, jpeg2000.CODESTREAM)):
        return "JPEG 2000"
    if start[:1] == b"P" and start[1:2] in _PPM_KINDS and start[2:3] in _PPM_SPACES:
        return "PPM"
    if start[:3] == b"GIF":
        return "GIF"
    if start.startswith(b"\xff\x0a") or start[4:12] == b"JXL \r\n\x87\n":
        return "JPEG XL"
    if start[4:8] == b"ftyp":
        return _iso_kind(file)
    return None


def _iso_kind(file: BinaryIO) -> str | None:
    """Return the format of a file of ISO boxes by its brands, the main brand first."""
    file.seek(0)
    length = int.from_bytes(file.read(4), "big")
    brands = file.read(max(min(length, _LONGEST_BRANDS) - 4, 0))[4:]
    for start in (0, *range(8, len(brands), 4)):
        brand = brands[start : start + 4]
        if brand in (b"avif", b"avis"):
            return "AVIF"
        if brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"):
            return "HEIC"
    return None


def png_depth(file: BinaryIO) -> tuple[int, int]:
    """Return the bits per channel and the colour type of a PNG file."""
    file.seek(24)
    depth, colour_type = file.read(2)
    return depth, colour_type


def png_is_whole(file: BinaryIO) -> bool:
    """Whether a PNG file has its last chunk; Pillow also decodes files without it."""
    return any(kind == b"IEND" for kind, _, _ in _png_chunks(file))


def png_is_sound(file: BinaryIO) -> bool:
    """Whether every chunk of a PNG file matches its checksum; Pillow does not check the pixels' chunks."""
    for kind, start, length in _png_chunks(file):
        file.seek(start)
        checksum, left = zlib.crc32(kind), length
        while left > 0:
            part = file.read(min(left, _CHECKED_AT_ONCE))
            if not part:
                return False
            checksum, left = zlib.crc32(part, checksum), left - len(part)
        if file.read(4) != checksum.to_bytes(4, "big"):
            return False
    return True


def png_chunk(file: BinaryIO, wanted: bytes) -> bytes | None:
    """Return the content of a PNG file's first chunk of a kind; None if there is none."""
    for kind, start, length in _png_chunks(file):
        if kind == wanted:
            file.seek(start)
            return file.read(length)
    return None


def png_profile(text: object) -> bytes | None:
    """Decode a text chunk `Raw profile type ...`; None if it is missing or unreadable.

    It has a blank line, a line with a name, a line with the length, and lines of hexadecimal digits.
    """
    lines = text.strip("\n").split("\n") if isinstance(text, str) else []
    try:
        return bytes.fromhex("".join(lines[2:])) or None
    except ValueError:
        return None


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, start and length (bytes) of each complete chunk, up to the last one, IEND."""
    end = file.seek(0, os.SEEK_END)
    position = len(_PNG_SIGNATURE)
    while position + 12 <= end:
        file.seek(position)
        length, kind = struct.unpack(">L4s", file.read(8))
        if position + 12 + length > end:
            return
        yield kind, position + 8, length
        if kind == b"IEND":  # the rest is not part of the picture
            return
        position += 12 + length


def gif_is_whole(file: BinaryIO) -> bool:
    """Whether a GIF file has its trailer; Pillow also reads truncated files."""

    def skip_colours(flags: int) -> None:
        if flags & 0x80:
            file.seek(3 << (flags & 7) + 1, os.SEEK_CUR)

    def skip_blocks() -> None:
        while length := file.read(1)[0]:
            file.seek(length, os.SEEK_CUR)

    try:
        file.seek(10)
        skip_colours(file.read(3)[0])
        while (kind := file.read(1)[0]) != _GIF_TRAILER:
            if kind == _GIF_FRAME:
                skip_colours(file.read(9)[8])
            elif kind != _GIF_EXTENSION:
                return False
            file.seek(1, os.SEEK_CUR)  # the extension's label, or the size of LZW codes
            skip_blocks()
    except IndexError:
        return False
    return True


def avif_depth(file: BinaryIO) -> int:
    """Return the largest number of bits per channel of the pictures in an AVIF file: 8, 10 or 12.

    Each picture has an `av1C` box in the file's `meta` box; in its third byte, 0x40 means more than 8 bits,
    0x20 means 12.
    """
    depth = 8
    for content in _iso_descriptions(file):
        for rest in content.split(b"av1C")[1:]:
            flags = rest[2] if len(rest) > 2 else 0
            depth = max(depth, 8 if not flags & 0x40 else 12 if flags & 0x20 else 10)
    return depth


def nclx(file: BinaryIO) -> bytes | None:
    """Return the first 7 bytes of colour numbers (`nclx`) in an AVIF or HEIC file; None if it has none.

    They are the primaries, the transfer curve and the matrix, 2 bytes each, and 0x80 for the full range.
    """
    for content in _iso_descriptions(file):
        _, found, rest = content.partition(b"\0\0\0\x13colrnclx")
        if found and len(rest) >= 7:
            return rest[:7]
    return None


def _iso_descriptions(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of the boxes that describe the pictures of a file of ISO boxes."""
    end = file.seek(0, os.SEEK_END)
    position = 0
    while position + 8 <= end:
        file.seek(position)
        length, kind = struct.unpack(">L4s", file.read(8))
        if length < 8:  # 0: to the end of the file; 1: a 64-bit length, which only pixels need
            break
        if kind in (b"meta", b"moov"):
            yield file.read(min(length - 8, end))
        position += length


def ppm_depth(file: BinaryIO) -> int:
    """Return the bits per channel of a PBM, PGM or PPM file: 1, 8 or 16.

    Raises `ValueError` or `IndexError` if its header is damaged.
    """
    file.seek(0)
    start = file.read(_PPM_HEADER)
    if start[1:2] in _PPM_BITMAPS:
        return 1
    words = re.sub(rb"#[^\r\n]*", b" ", start[2:]).split(maxsplit=3)
    return 8 if int(words[2]) < 256 else 16
