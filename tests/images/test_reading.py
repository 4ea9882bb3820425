from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from manet_cli.errors import InputError
from manet_cli.images import (
    Header,
    Metadata,
    Photo,
    format_by_name,
    read_header,
    read_photo,
    write_photo,
)
from manet_cli.images.reading import open_image

from .conftest import ICC, XMP, encode, exif_block, facts, pixels, png, png_chunk

LOSSLESS = [
    ("PNG", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("WEBP", {"lossless": True, "exact": True}),
]


@pytest.mark.parametrize("bare", [False, True])
def test_jpeg_2000(bare: bool) -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (20, 30, 4), np.uint8)
    deep = rng.integers(0, 65536, (20, 30), np.uint16)
    for array, channels, bits in (
        (colour[..., 0], 1, 8),
        (colour[..., :3], 3, 8),
        (colour, 3, 8),
        (deep, 1, 16),
    ):
        photo = agrees(jpeg_2000(array, bare=bare))
        assert (photo.pixels.shape[2], photo.header.bits) == (channels, bits)
        values = photo.pixels if photo.alpha is None else np.dstack((photo.pixels, photo.alpha))
        assert np.array_equal(np.squeeze(values), array)


def test_jpeg_2000_with_a_profile() -> None:
    data = jpeg_2000(np.full((9, 9, 3), 90, np.uint8))
    place, end = data.index(b"colr") - 4, data.index(b"jp2c") - 4
    length = int.from_bytes(data[place : place + 4], "big")
    box = struct.pack(">L4s3s", 11 + len(ICC), b"colr", b"\x02\0\0") + ICC
    head = data.index(b"jp2h") - 4
    whole = struct.pack(">L", end - head - length + len(box)) + data[head + 4 : place] + box
    changed = data[:head] + whole + data[place + length : end] + data[end:]
    assert agrees(changed).metadata.icc_profile == ICC


def test_jpeg_2000_that_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    good = jpeg_2000(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    sizes = good.index(b"\xff\x4f\xff\x51") + 42
    for depth, sentence in ((11, "12 bits per channel"), (0x87, "signed integers")):
        changed = bytearray(good)
        for component in range(3):
            changed[sizes + 3 * component] = depth
        with pytest.raises(InputError, match=sentence):
            read_header(bytes(changed), "a")
    for length in range(13, len(good) - 40, 37):
        with pytest.raises(InputError, match=r"damaged|cut off"):
            read_photo(good[:length], "a")
    monkeypatch.setattr("PIL.features.check", lambda feature: False)
    with pytest.raises(InputError, match="this Pillow cannot read"):
        read_header(good, "a")


def jpeg_2000(array: npt.NDArray[Any], *, bare: bool = False) -> bytes:
    """Encode without loss."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG2000", irreversible=False, no_jp2=bare)
    return file.getvalue()


def test_netpbm() -> None:
    grey = agrees(b"P5 # a comment\n3 # another\n2 255\n" + bytes(range(6)))
    assert grey.pixels[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    colour = agrees(b"P6\n1 2\n255\n" + bytes(range(6)))
    assert colour.pixels.tolist() == [[[0, 1, 2]], [[3, 4, 5]]]
    assert agrees(b"P3 1 1 255 7 8 9\n").pixels.tolist() == [[[7, 8, 9]]]
    assert agrees(b"P1 2 1\n1 0\n").pixels.tolist() == [[[0], [255]]]
    for kind, size in ((b"P5", 2), (b"P6", 6)):
        with pytest.raises(InputError, match="16 bits per channel"):
            read_header(kind + b" 1 1 65535\n" + bytes(size), "a")
    for damaged in (
        b"P5 3 2 255\n\0",
        b"P6 1 1 nonsense\n",
        b"P6 1",
        b"P5 0 0 255\n",
        b"P6 99999 99999 255\n",
    ):
        with pytest.raises(InputError):
            read_photo(damaged, "a")


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


@pytest.mark.parametrize(("name", "options"), [*LOSSLESS, ("BMP", {})])
def test_colour_is_read_exactly(name: str, options: dict[str, Any]) -> None:
    values = pixels(3)
    photo = agrees(encode(Image.fromarray(values), name, **options))
    np.testing.assert_array_equal(photo.pixels, values)
    assert photo.alpha is None


@pytest.mark.parametrize(("name", "options"), LOSSLESS)
def test_colour_with_alpha_is_read_straight(name: str, options: dict[str, Any]) -> None:
    values = pixels(4)
    photo = agrees(encode(Image.fromarray(values), name, **options))
    np.testing.assert_array_equal(photo.pixels, values[..., :3])
    np.testing.assert_array_equal(photo.alpha, values[..., 3])


@pytest.mark.parametrize("name", ["PNG", "TIFF", "BMP", "JPEG", "AVIF"])
def test_grey_stays_one_channel(name: str) -> None:
    values = pixels(1)
    photo = agrees(
        encode(Image.fromarray(values[..., 0]), name, **({"quality": 95} if name in ("JPEG", "AVIF") else {}))
    )
    assert photo.pixels.shape == (24, 40, 1)
    assert photo.pixels.dtype == np.uint8
    assert np.abs(photo.pixels.astype(int) - values).mean() < (3 if name in ("JPEG", "AVIF") else 1e-9)


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_grey_with_alpha_is_read(name: str) -> None:
    values = pixels(2)
    photo = agrees(encode(Image.fromarray(values), name))
    np.testing.assert_array_equal(photo.pixels, values[..., :1])
    np.testing.assert_array_equal(photo.alpha, values[..., 1])


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_16_bit_grey_is_read(name: str) -> None:
    values = pixels(1, np.uint16)
    photo = agrees(encode(Image.fromarray(values[..., 0]), name))
    assert photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels, values)


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_grey_tiff_of_either_byte_order_is_read(order: str, white_is_zero: bool) -> None:
    values = pixels(1, np.uint16)
    data = tiff(
        order, [(262, 3, 0 if white_is_zero else 1)], 16, values[..., 0].astype(order + "u2").tobytes()
    )
    if order == ">" and white_is_zero:  # a layout unknown to Pillow
        refused(data, "is a damaged, truncated or unsupported TIFF file")
        return
    np.testing.assert_array_equal(agrees(data).pixels, 65535 - values if white_is_zero else values)


def tiff(order: str, tags: list[tuple[int, int, int]], bits: int, data: bytes) -> bytes:
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


def test_a_palette_becomes_colours() -> None:
    image = Image.fromarray(pixels(3)).quantize(16)
    photo = agrees(encode(image, "PNG"))
    np.testing.assert_array_equal(photo.pixels, np.asarray(image.convert("RGB")))
    assert photo.alpha is None


@pytest.mark.parametrize("transparency", [3, bytes([0, 128, 255, 7])])
def test_a_transparent_palette_becomes_colours_and_alpha(transparency: int | bytes) -> None:
    image = Image.fromarray(pixels(3)).quantize(16)
    photo = agrees(encode(image, "PNG", transparency=transparency))
    table = [255] * 256
    if isinstance(transparency, int):
        table[transparency] = 0
    else:
        table[: len(transparency)] = list(transparency)
    np.testing.assert_array_equal(photo.alpha, np.array(table)[np.asarray(image)])
    np.testing.assert_array_equal(photo.pixels, np.asarray(image.convert("RGB")))


def test_one_bit_becomes_grey() -> None:
    values = pixels(1)[..., 0] > 100
    photo = agrees(encode(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(photo.pixels[..., 0], np.where(values, 255, 0))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_transparent_grey_of_a_png_is_found_at_every_depth(depth: int) -> None:
    levels = 2**depth
    values = np.arange(16).reshape(2, 8) % levels
    bits = (values[..., None] >> np.arange(depth)[::-1]) & 1
    rows = [np.packbits(row.ravel()).tobytes() for row in bits]
    photo = agrees(png(depth, 0, rows, 8, (b"tRNS", struct.pack(">H", 1))))
    np.testing.assert_array_equal(photo.pixels[..., 0], values * (255 // (levels - 1)))
    np.testing.assert_array_equal(photo.alpha, np.where(values == 1, 0, 255))


def test_the_transparent_colour_of_a_png_is_found() -> None:
    rows = [bytes([1, 2, 3, 1, 2, 4, 1, 1, 3])]
    photo = agrees(png(8, 2, rows, 3, (b"tRNS", struct.pack(">HHH", 1, 2, 3))))
    np.testing.assert_array_equal(photo.alpha, [[0, 255, 255]])
    np.testing.assert_array_equal(photo.pixels, [[[1, 2, 3], [1, 2, 4], [1, 1, 3]]])


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


@pytest.mark.parametrize("tail", [bytes(512), b"\0\0\0\5junk", b"bytes" * 50])
def test_what_follows_the_end_of_a_png_is_ignored(tail: bytes) -> None:
    data = encode(Image.fromarray(pixels(3)), "PNG")
    np.testing.assert_array_equal(agrees(data + tail).pixels, pixels(3))
    refused(data[:-12] + tail, "is cut off before its end")


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


def test_files_that_are_not_there_or_not_files(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello, this is no picture")
    for path, sentence in [
        (tmp_path / "missing.png", r"missing\.png does not exist"),
        (tmp_path, "is a folder"),
        (tmp_path / "empty.png", r"empty\.png is empty"),
        (
            tmp_path / "text.png",
            r"text\.png is not a PNG, JPEG, WebP, TIFF, BMP, AVIF, GIF, "
            r"JPEG 2000, PPM, HEIC, JPEG XL or camera raw picture: convert",
        ),
        (tmp_path / "empty.png" / "below.png", r"below\.png cannot be read \(Not a directory\)"),
        (tmp_path / "nul\0.png", "cannot be read|does not exist"),
        (Path("/dev/null"), "is not a regular file"),
    ]:
        for read in (read_photo, read_header):
            with pytest.raises(InputError, match=sentence):
                read(path, path.name)
    with pytest.raises(InputError, match="a is empty"):
        read_photo(b"", "a")


def test_a_path_is_read_as_its_content_is(tmp_path: Path) -> None:
    for name in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF"):
        data = encode(Image.fromarray(pixels(3)), name)
        path = tmp_path / "é ü.x"
        path.write_bytes(data)
        np.testing.assert_array_equal(read_photo(path, "a").pixels, read_photo(data, "a").pixels)
        assert read_header(path, "a") == read_header(data, "a")


def test_a_palette_picture_without_its_palette_is_refused() -> None:
    refused(png(8, 3, [bytes(4)], 4), "is damaged or cut off")


def test_the_transparent_value_or_colour_of_16_bits_is_found() -> None:
    grey = agrees(png(16, 0, [struct.pack(">HHH", 1, 257, 60000)], 3, (b"tRNS", struct.pack(">H", 257))))
    np.testing.assert_array_equal(grey.pixels, [[[1], [257], [60000]]])
    np.testing.assert_array_equal(grey.alpha, [[65535, 0, 65535]])
    rows = [struct.pack(">HHHHHH", 1, 2, 3, 1, 2, 259)]  # equal in their upper 8 bits but for the last
    colour = agrees(png(16, 2, rows, 2, (b"tRNS", struct.pack(">HHH", 1, 2, 3))))
    np.testing.assert_array_equal(colour.pixels, [[[1, 2, 3], [1, 2, 259]]])
    np.testing.assert_array_equal(colour.alpha, [[0, 65535]])


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


def test_12_bit_and_signed_grey_are_refused() -> None:
    refused(tiff("<", [(262, 3, 1)], 12, bytes(40 * 24 * 2)), "has 12 bits per channel")
    refused(tiff("<", [(262, 3, 1), (339, 3, 2)], 8, bytes(40 * 24)), "in 32-bit or signed integers")
    refused(tiff("<", [(262, 3, 1), (339, 3, 2)], 16, bytes(40 * 24 * 2)), "in 32-bit or signed integers")


@pytest.mark.parametrize(
    ("mode", "name", "sentence"),
    [
        ("CMYK", "JPEG", "in CMYK colours"),
        ("CMYK", "TIFF", "in CMYK colours"),
        ("LAB", "TIFF", "in LAB colours"),
        ("YCbCr", "TIFF", "in uncompressed YCbCr|damaged"),
        ("I", "TIFF", "in 32-bit or signed integers"),
        ("F", "TIFF", "in floating-point numbers"),
    ],
)
def test_other_colours_and_numbers_are_refused(mode: str, name: str, sentence: str) -> None:
    # Pillow before 13 fails on YCbCr only in decoding.
    refused(encode(Image.new(mode, (8, 8)), name), sentence, by_header=mode != "YCbCr")


@pytest.mark.parametrize(("flags", "depth"), [(0x40, 10), (0x60, 12)])
def test_deep_avif_is_refused(flags: int, depth: int) -> None:
    data = bytearray(encode(Image.fromarray(pixels(3)), "AVIF"))
    data[data.index(b"av1C") + 6] |= flags
    place = data.index(b"pixi") + 9
    data[place : place + 3] = bytes([depth]) * 3
    refused(bytes(data), f"has {depth} bits per channel")


@pytest.mark.parametrize("name", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_several_pictures_in_a_file_are_refused(name: str) -> None:
    frames = [Image.fromarray(pixels(3)), Image.fromarray(pixels(3)[::-1])]
    data = encode(frames[0], name, save_all=True, append_images=frames[1:])
    refused(data, "contains several pictures")


def test_of_a_phones_jpeg_with_several_pictures_the_main_one_is_read() -> None:
    frames = [Image.fromarray(pixels(3)), Image.fromarray(pixels(3)[::-1])]
    data = encode(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95, subsampling=0)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.is_animated) == ("MPO", True)
    np.testing.assert_array_equal(
        agrees(data).pixels, agrees(encode(frames[0], "JPEG", quality=95, subsampling=0)).pixels
    )


def test_a_bomb_is_refused_by_its_header_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    small_claim = png(8, 0, [b"\0"], 1)
    for width, height, sentence in [
        (100_000, 100_000, "more than twice the limit of 200000000"),
        (
            14_143,
            14_143,
            "14143x14143 pixels, more than the limit of 200000000: make it",
        ),
    ]:
        header = png_chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0))
        bomb = small_claim[:8] + header + small_claim[33:]
        refused(bomb, sentence)
        with monkeypatch.context() as patch:  # our guard does not depend on Pillow's setting
            patch.setattr(Image, "MAX_IMAGE_PIXELS", None)
            refused(bomb, sentence)


def test_a_large_picture_below_the_limit_gives_no_warning() -> None:
    assert read_header(encode(Image.new("1", (13_000, 13_000)), "PNG"), "a").width == 13_000


def test_pillows_settings_and_the_warning_filters_are_as_before() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    read_photo(encode(Image.fromarray(pixels(3)), "PNG"), "a")
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


def test_what_pillow_warns_about_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    data = tiff("<", [(262, 3, 1)], 8, bytes(40 * 24))
    position = data.index(struct.pack("<HHL", 277, 3, 1))
    data = data[:position] + struct.pack("<HHL", 305, 2, 10_000) + data[position + 8 :]
    with caplog.at_level(logging.INFO, "manet_cli.images"):
        read_photo(data + bytes(50), "odd.tif")
    assert "odd.tif" in caplog.text


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "png": ("RGB", "PNG", {}),
    "png16": ("I;16", "PNG", {}),
    "jpeg": ("RGB", "JPEG", {"quality": 95}),
    "progressive": ("RGB", "JPEG", {"progressive": True}),
    "webp": ("RGB", "WEBP", {}),
    "webp-alpha": ("RGBA", "WEBP", {"lossless": True}),
    "tiff": ("RGB", "TIFF", {}),
    "deflated": ("RGB", "TIFF", {"compression": "tiff_adobe_deflate"}),
    "bmp": ("RGB", "BMP", {}),
    "avif": ("RGB", "AVIF", {}),
    "avif-alpha": ("RGBA", "AVIF", {}),
}


def case(name: str) -> bytes:
    mode, format_name, options = CASES[name]
    values = pixels(1, np.uint16)[..., 0] if mode == "I;16" else pixels(len(mode))
    if format_name not in ("BMP", "TIFF"):
        options = options | {
            "exif": b"Exif\0\0" + exif_block(orientation=6, thumbnail=True),
            "icc_profile": ICC,
        }
    return encode(Image.fromarray(values), format_name, **options)


@pytest.mark.parametrize("name", CASES)
def test_every_truncation_is_refused(name: str) -> None:
    data = case(name)
    lengths = {*range(1, 40), *range(40, len(data), 37), *range(len(data) - 40, len(data))}
    for length in sorted(lengths):
        with pytest.raises(InputError) as caught:
            read_photo(data[:length], "a.img")
        assert "object at" not in str(caught.value)


@pytest.mark.parametrize("name", CASES)
def test_damaged_bytes_give_a_photo_or_a_sentence(name: str) -> None:
    data = case(name)
    generator = np.random.default_rng(7)
    sentences = 0
    for _ in range(100):
        damaged = bytearray(data)
        for _ in range(int(generator.integers(1, 5))):
            place = int(generator.integers(0, min(len(data), 600) if generator.random() < 0.7 else len(data)))
            damaged[place] = int(generator.integers(0, 256))
        try:
            read_photo(bytes(damaged), "a.img")
        except InputError:
            sentences += 1
    assert sentences > 0


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


def test_pillows_limit_outlives_threads_that_interleave() -> None:
    """The first reader ends first, and the other one still reads by its limit."""
    before = Image.MAX_IMAGE_PIXELS
    data = encode(Image.fromarray(pixels(3)), "PNG")
    small, large = (open_image(data, "one", limit) for limit in (100_000, 1 << 40))
    small.__enter__()
    with large:
        small.__exit__(None, None, None)
        assert Image.MAX_IMAGE_PIXELS == 1 << 40
    assert before == Image.MAX_IMAGE_PIXELS
