"""Pictures, metadata and files made by the tests."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ExifTags, Image, TiffImagePlugin

from manet_cli.errors import InputError
from manet_cli.images import FORMATS, Header, ImageFormat, Metadata, Photo, read_header, read_photo

RECORD = '{"tool": "manet", "note": "\\u00e9", "sigma": [1.5, 2.0]}'
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6" dc:t="\xc3\xa9"/></x:xmpmeta>'
ICC = bytes(16) + b"RGB XYZ " + bytes(range(256)) * 3
MAKER_NOTE = b"MAKER\0" + bytes(range(256))


def pixels(channels: int, dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> npt.NDArray[Any]:
    """(24, 40, channels): smooth enough for a lossy codec, different in every direction."""
    rows, columns = np.mgrid[0:24, 0:40]
    planes = [(rows * 3 + columns * 4 * (1 + plane) + 31 * plane) % 256 for plane in range(channels)]
    values = np.stack(planes, axis=-1)
    return (values * 257 + rows[..., None] if dtype is np.uint16 else values).astype(dtype)


def photo(
    channels: int = 3, *, alpha: bool = False, bits: int = 8, metadata: Metadata | None = None
) -> Photo:
    values = pixels(channels, np.uint16 if bits == 16 else np.uint8)
    mask = pixels(1, values.dtype.type)[::-1, :, 0].copy() if alpha else None
    return Photo(values, mask, metadata or Metadata())


def encode(image: Image.Image, format_name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def png(depth: int, colour_type: int, rows: list[bytes], width: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG file by hand: `rows` without their filter bytes, `extra` chunks before the pixels."""
    header = struct.pack(">LLBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def exif_block(*, orientation: int | None = 6, big_endian: bool = False, thumbnail: bool = False) -> bytes:
    """An EXIF block as from a camera, without the `Exif` prefix of JPEG."""
    exif = Image.Exif()
    exif.endian = ">" if big_endian else "<"
    exif[0x010F] = "Maker of cameras"
    exif[0x0100], exif[0x0101] = 40, 24
    if orientation is not None:
        exif[0x0112] = orientation
    inner = exif.get_ifd(0x8769)
    inner[0x829A] = TiffImagePlugin.IFDRational(1, 60)
    inner[0x927C] = MAKER_NOTE
    inner[0xA002], inner[0xA003] = 40, 24
    inner[0xA005] = {1: "R98"}
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", (48.0, 51.0, 29.6)
    block = bytearray(exif.tobytes()[6:])
    if thumbnail:
        order = ">" if big_endian else "<"
        (first,) = struct.unpack_from(order + "L", block, 4)
        (count,) = struct.unpack_from(order + "H", block, first)
        second = len(block)
        struct.pack_into(order + "L", block, first + 2 + 12 * count, second)
        start = second + 2 + 24 + 4
        block += (
            struct.pack(order + "HHHLLHHLLL", 2, 0x0201, 4, 1, start, 0x0202, 4, 1, 9, 0)
            + b"\xff\xd8THUMB\xff\xd9"
        )
    return bytes(block)


def facts(block: bytes | None) -> dict[str, Any]:
    """The content of an EXIF block by Pillow."""
    assert block is not None
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + block)
    inner = exif.get_ifd(0x8769)
    return {
        "first": {tag: exif[tag] for tag in exif if tag not in (0x8769, 0x8825)},
        "exif": {tag: value for tag, value in inner.items() if tag != 0xA005},
        "gps": dict(exif.get_ifd(0x8825)),
        # Pillow before 13 raises for a missing directory.
        "interoperability": dict(exif.get_ifd(0xA005)) if 0xA005 in inner else {},
        "thumbnail": dict(exif.get_ifd(ExifTags.IFD.IFD1)),
    }


@pytest.fixture(params=FORMATS, ids=lambda entry: entry.name)
def fmt(request: pytest.FixtureRequest) -> ImageFormat:
    chosen: ImageFormat = request.param
    return chosen


def agrees(data: bytes) -> Photo:
    """Read `data` and check that its header matches the photo."""
    photo = read_photo(data, "a")
    bits = photo.pixels.dtype.itemsize * 8
    has_alpha = photo.alpha is not None
    expected = Header(photo.width, photo.height, photo.pixels.shape[2], has_alpha, bits)
    assert read_header(data, "a") == expected
    assert photo.pixels.flags.c_contiguous
    assert photo.pixels.dtype.isnative
    return photo


def refused(data: bytes, sentence: str, *, by_header: bool = True) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        read_photo(data, "a.img")
    assert "object at" not in str(caught.value)
    assert str(caught.value).startswith("a.img ")
    if by_header:
        with pytest.raises(InputError, match=sentence):
            read_header(data, "a.img")


def tiff_by_hand(order: str, tags: list[tuple[int, int, int]], bits: int, data: bytes) -> bytes:
    """A one-strip grey TIFF by hand, 40x24, uncompressed."""
    entries = [
        (256, 3, 40),
        (257, 3, 24),
        (258, 3, bits),
        (259, 3, 1),
        (273, 4, 0),
        (277, 3, 1),
        (278, 3, 24),
    ]
    entries = sorted([*entries, (279, 4, len(data)), *tags])
    start = 8 + 2 + 12 * len(entries) + 4
    entries = [(tag, kind, start if tag == 273 else value) for tag, kind, value in entries]
    body = b"".join(
        struct.pack(order + "HHL", tag, kind, 1) + struct.pack(order + ("Hxx" if kind == 3 else "L"), value)
        for tag, kind, value in entries
    )
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "LH", 8, len(entries)) + body + bytes(4) + data
