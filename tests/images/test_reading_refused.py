from __future__ import annotations

import logging
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from manet_cli.errors import InputError
from manet_cli.images import (
    read_header,
    read_photo,
)
from manet_cli.images.reading import open_image

from .conftest import (
    ICC,
    encode,
    exif_block,
    pixels,
    png,
    png_chunk,
    refused,
    tiff_by_hand,
)


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
            r"JPEG 2000, PPM, HEIC, JPEG XL or camera raw picture: give a picture, or",
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


def test_a_palette_picture_without_its_palette_is_refused() -> None:
    refused(png(8, 3, [bytes(4)], 4), "is damaged or cut off")


def test_12_bit_and_signed_grey_are_refused() -> None:
    refused(tiff_by_hand("<", [(262, 3, 1)], 12, bytes(40 * 24 * 2)), "has 12 bits per channel")
    refused(tiff_by_hand("<", [(262, 3, 1), (339, 3, 2)], 8, bytes(40 * 24)), "in 32-bit or signed integers")
    refused(
        tiff_by_hand("<", [(262, 3, 1), (339, 3, 2)], 16, bytes(40 * 24 * 2)), "in 32-bit or signed integers"
    )


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
    data = tiff_by_hand("<", [(262, 3, 1)], 8, bytes(40 * 24))
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
