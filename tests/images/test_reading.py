from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images import (
    read_header,
    read_photo,
)

from .conftest import (
    ICC,
    agrees,
    encode,
    pixels,
    png,
    refused,
    tiff_by_hand,
)

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
    data = tiff_by_hand(
        order, [(262, 3, 0 if white_is_zero else 1)], 16, values[..., 0].astype(order + "u2").tobytes()
    )
    if order == ">" and white_is_zero:  # a layout unknown to Pillow
        refused(data, "is a damaged, truncated or unsupported TIFF file")
        return
    np.testing.assert_array_equal(agrees(data).pixels, 65535 - values if white_is_zero else values)


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


@pytest.mark.parametrize("tail", [bytes(512), b"\0\0\0\5junk", b"bytes" * 50])
def test_what_follows_the_end_of_a_png_is_ignored(tail: bytes) -> None:
    data = encode(Image.fromarray(pixels(3)), "PNG")
    np.testing.assert_array_equal(agrees(data + tail).pixels, pixels(3))
    refused(data[:-12] + tail, "is cut off before its end")


def test_a_path_is_read_as_its_content_is(tmp_path: Path) -> None:
    for name in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF"):
        data = encode(Image.fromarray(pixels(3)), name)
        path = tmp_path / "é ü.x"
        path.write_bytes(data)
        np.testing.assert_array_equal(read_photo(path, "a").pixels, read_photo(data, "a").pixels)
        assert read_header(path, "a") == read_header(data, "a")


def test_the_transparent_value_or_colour_of_16_bits_is_found() -> None:
    grey = agrees(png(16, 0, [struct.pack(">HHH", 1, 257, 60000)], 3, (b"tRNS", struct.pack(">H", 257))))
    np.testing.assert_array_equal(grey.pixels, [[[1], [257], [60000]]])
    np.testing.assert_array_equal(grey.alpha, [[65535, 0, 65535]])
    rows = [struct.pack(">HHHHHH", 1, 2, 3, 1, 2, 259)]  # equal in their upper 8 bits but for the last
    colour = agrees(png(16, 2, rows, 2, (b"tRNS", struct.pack(">HHH", 1, 2, 3))))
    np.testing.assert_array_equal(colour.pixels, [[[1, 2, 3], [1, 2, 259]]])
    np.testing.assert_array_equal(colour.alpha, [[0, 65535]])


def test_of_a_phones_jpeg_with_several_pictures_the_main_one_is_read() -> None:
    frames = [Image.fromarray(pixels(3)), Image.fromarray(pixels(3)[::-1])]
    data = encode(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95, subsampling=0)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.is_animated) == ("MPO", True)
    np.testing.assert_array_equal(
        agrees(data).pixels, agrees(encode(frames[0], "JPEG", quality=95, subsampling=0)).pixels
    )
