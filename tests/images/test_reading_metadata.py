from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from manet_cli.images import (
    Metadata,
    Photo,
    format_by_name,
    read_photo,
    write_photo,
)

from .conftest import (
    ICC,
    XMP,
    agrees,
    encode,
    exif_block,
    facts,
    pixels,
    png,
    png_chunk,
)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_the_orientation_is_applied_and_reset(name: str, turn: int) -> None:
    options: dict[str, Any] = {"lossless": True} if name == "WEBP" else {}
    data = encode(
        Image.fromarray(pixels(3)), name, exif=b"Exif\0\0" + exif_block(orientation=turn), **options
    )
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    photo = agrees(data)
    np.testing.assert_array_equal(photo.pixels, np.asarray(upright))
    assert (photo.width == 24) == (turn >= 5)
    assert facts(photo.metadata.exif)["first"].get(0x0112, 1) == 1


@pytest.mark.parametrize("turn", [3, 6])
def test_alpha_and_16_bits_are_turned_too(turn: int) -> None:
    block = b"Exif\0\0" + exif_block(orientation=turn)
    for values in (pixels(4), pixels(1, np.uint16)[..., 0]):
        photo = agrees(encode(Image.fromarray(values), "PNG", exif=block))
        expected = np.rot90(values, -1 if turn == 6 else 2)
        got = photo.pixels[..., 0] if photo.alpha is None else np.dstack([photo.pixels, photo.alpha])
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("count", "following"), [(1, b""), (2, bytes(4))], ids=["no next", "two values"])
def test_an_orientation_that_lenient_readers_read_is_applied(
    name: str, count: int, following: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    entry = struct.pack("<HHLHH", 0x0112, 3, count, 6, 6 if count == 2 else 0)
    block = b"II*\0" + struct.pack("<LH", 8, 1) + entry + following
    options: dict[str, Any] = {"lossless": True} if name == "WEBP" else {}
    image = Image.fromarray(pixels(3))
    plain = agrees(encode(image, name, **options))
    photo = agrees(encode(image, name, exif=b"Exif\0\0" + block, **options))
    np.testing.assert_array_equal(photo.pixels, np.rot90(plain.pixels, -1))
    assert photo.metadata.exif is not None
    assert photo.metadata.exif[10:12] + photo.metadata.exif[18:20] == struct.pack("<HH", 0x0112, 1)
    assert not caplog.records


@pytest.mark.parametrize("turn", range(1, 9))
def test_avif_keeps_its_orientation_in_a_box_of_its_own(turn: int) -> None:
    values = np.kron(np.array([[250, 10, 90], [40, 200, 130]], np.uint8), np.ones((16, 16), np.uint8))
    data = encode(
        Image.fromarray(values), "AVIF", quality=100, exif=b"Exif\0\0" + exif_block(orientation=turn)
    )
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(agrees(data).pixels[..., 0], np.asarray(upright))


@pytest.mark.parametrize("turn", [None, 1, 6])
@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_the_xmp_orientation_is_reset_and_never_applied(name: str, turn: int | None) -> None:
    options: dict[str, Any] = {"tiffinfo": {700: XMP} | ({274: turn} if turn else {})}
    if name == "JPEG":
        options = {"xmp": XMP, "exif": b"Exif\0\0" + exif_block(orientation=turn)}
    photo = agrees(encode(Image.fromarray(pixels(3)), name, **options))
    assert photo.width == (24 if turn == 6 else 40)
    assert photo.metadata.xmp == XMP.replace(b'"6"', b'"1"')


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_metadata_is_kept(name: str) -> None:
    options: dict[str, Any] = {"icc_profile": ICC, "exif": b"Exif\0\0" + exif_block(orientation=None)}
    if name in ("JPEG", "WEBP", "AVIF"):
        options["xmp"] = XMP
    photo = agrees(encode(Image.fromarray(pixels(3)), name, dpi=(300, 150), **options))
    assert photo.metadata.icc_profile == ICC
    assert photo.metadata.xmp == (XMP.replace(b'"6"', b'"1"') if "xmp" in options else None)
    if name in ("PNG", "JPEG", "TIFF"):
        assert photo.metadata.dpi == pytest.approx((300, 150), abs=0.02)
    found, expected = facts(photo.metadata.exif), facts(exif_block(orientation=None))
    if name == "TIFF":  # the sizes belong to the file, not to its EXIF
        del expected["first"][0x0100], expected["first"][0x0101]
        expected["interoperability"] = {}  # Pillow did not write it
    assert found == expected


def test_nothing_is_made_up_where_there_is_no_metadata() -> None:
    metadata = agrees(encode(Image.fromarray(pixels(3)), "PNG")).metadata
    assert (metadata.exif, metadata.icc_profile, metadata.xmp, metadata.dpi) == (None, None, None, None)


@pytest.mark.parametrize(
    ("chunk", "odd"),
    [
        ((b"gAMA", struct.pack(">L", 45_455)), False),
        ((b"gAMA", struct.pack(">L", 100_000)), True),
        ((b"cHRM", struct.pack(">8L", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)), False),
        ((b"cHRM", struct.pack(">8L", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)), True),
    ],
)
def test_colours_that_only_a_png_can_describe_are_said_to_be_lost(
    chunk: tuple[bytes, bytes], odd: bool, caplog: pytest.LogCaptureFixture
) -> None:
    agrees(png(8, 2, [bytes(range(6))], 2, chunk))
    assert ("its gAMA and cHRM chunks are not kept" in caplog.text) == odd


def test_imagemagicks_textual_exif_is_read() -> None:
    block = b"Exif\0\0" + exif_block(orientation=6)
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    chunk = (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    photo = agrees(png(8, 0, [bytes(range(5)), bytes(5)], 5, chunk))
    assert photo.pixels.shape == (5, 2, 1)
    assert facts(photo.metadata.exif)["gps"][1] == "N"


def test_exif_after_the_pixels_counts_for_the_header_too() -> None:
    plain = png(8, 0, [bytes(range(5)), bytes(5)], 5)
    data = plain[:-12] + png_chunk(b"eXIf", exif_block(orientation=6)) + plain[-12:]
    assert agrees(data).pixels.shape == (5, 2, 1)


@pytest.mark.parametrize("value", [(0, 0), (0, 300), (float("nan"), 1.0), (1e9, 1e9)])
def test_a_meaningless_resolution_is_dropped(
    value: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Image.open

    def open_with_resolution(file: BinaryIO, formats: tuple[str, ...]) -> ImageFile.ImageFile:
        image = opened(file, formats=formats)
        image.info["dpi"] = value
        return image

    monkeypatch.setattr(Image, "open", open_with_resolution)
    assert read_photo(encode(Image.new("L", (3, 2)), "BMP"), "a").metadata.dpi is None


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    "broken", [b"no EXIF at all", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff\0\0"]
)
def test_broken_exif_never_costs_the_picture(
    name: str, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    data = encode(Image.fromarray(pixels(3)), name, exif=b"Exif\0\0" + exif_block(orientation=1))
    if name == "TIFF":  # break the pointer to its Exif directory
        pointer = data.index(struct.pack("<HHL", 0x8769, 4, 1)) + 8
        data = data[:pointer] + b"\xff\xff\xff\x7f" + data[pointer + 4 :]
    else:
        data = spliced(name, data, broken)
    with caplog.at_level(logging.INFO), warnings.catch_warnings():
        warnings.simplefilter("error")
        photo = agrees(data)
    assert photo.pixels.shape == (24, 40, 3)
    assert caplog.records
    if name != "TIFF":
        assert photo.metadata.exif is None


def spliced(name: str, data: bytes, broken: bytes) -> bytes:
    """`data` with its EXIF replaced."""
    block = exif_block(orientation=1)
    start = data.index(block)
    if name == "PNG":
        chunk = png_chunk(b"eXIf", block)
        return data.replace(chunk, png_chunk(b"eXIf", broken))
    if name == "JPEG":
        old = struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block
        return data.replace(old, struct.pack(">H", len(broken) + 8) + b"Exif\0\0" + broken)
    return data[:start] + broken.ljust(len(block), b"\xff") + data[start + len(block) :]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["png", "tiff"])
def test_16_bit_colour_is_turned(name: str, turn: int) -> None:
    values = pixels(3, np.uint16)
    data = deep_file(name, values, turn)
    photo = agrees(data)
    assert (photo.width == 24) == (turn >= 5)
    for shift in (0, 8):  # Pillow turns the upper and the lower halves
        half = Image.fromarray((values >> shift).astype(np.uint8))
        half.getexif()[0x0112] = turn
        upright = ImageOps.exif_transpose(half)
        np.testing.assert_array_equal((photo.pixels >> shift).astype(np.uint8), np.asarray(upright))
    assert facts(photo.metadata.exif)["first"].get(0x0112, 1) == 1


def deep_file(name: str, values: npt.NDArray[np.uint16], turn: int) -> bytes:
    """A 48-bit file by hand, with an orientation."""
    if name == "png":
        rows = [row.astype(">u2").tobytes() for row in values]
        return png(16, 2, rows, values.shape[1], (b"eXIf", exif_block(orientation=turn)))
    file = io.BytesIO()
    write_photo(Photo(values, None, Metadata(exif=exif_block(orientation=1))), file, format_by_name("tiff"))
    data = bytearray(file.getvalue())
    # PlanarConfiguration, with the default 1, is replaced by the orientation.
    place = data.index(struct.pack("<HHLHxx", 284, 3, 1, 1))
    struct.pack_into("<HHLHxx", data, place, 274, 3, 1, turn)
    return bytes(data)


def test_damaged_exif_gives_a_photo() -> None:
    block = exif_block(orientation=6, thumbnail=True)
    image = Image.fromarray(pixels(1)[..., 0])
    generator = np.random.default_rng(3)
    for _ in range(300):
        damaged = bytearray(block)
        for _ in range(3):
            damaged[int(generator.integers(0, len(block)))] = int(generator.integers(0, 256))
        assert agrees(encode(image, "PNG", exif=bytes(damaged))).pixels.size == 24 * 40


def test_a_compressed_tiff_with_rational_tags_is_read() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = "a description"
    photo = agrees(
        encode(Image.fromarray(pixels(3)), "TIFF", tiffinfo=tags, compression="packbits", dpi=(72, 72))
    )
    assert photo.metadata.dpi == (72, 72)
    assert facts(photo.metadata.exif)["first"] == {270: "a description"}
