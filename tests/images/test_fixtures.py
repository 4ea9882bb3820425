"""Files that other programs made (tests/fixtures/README.md), in and out."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from manet_cli.errors import InputError
from manet_cli.images import Photo, format_by_name, read_header, read_photo, write_photo

FIXTURES = Path(__file__).parents[1] / "fixtures"


def netpbm(name: str) -> npt.NDArray[Any]:
    """(H, W, C) of a binary PPM or PGM file, read by hand."""
    kind, width, height, largest, data = (FIXTURES / name).read_bytes().split(maxsplit=4)
    depth: Any = ">u2" if int(largest) > 255 else np.uint8
    channels = {b"P5": 1, b"P6": 3}[kind]
    native = np.uint16 if int(largest) > 255 else np.uint8
    return np.frombuffer(data, depth).astype(native).reshape(int(height), int(width), channels)


def fixture(name: str) -> Photo:
    """Read a fixture, and check that its header said what came out."""
    path = FIXTURES / name
    photo = read_photo(path, name)
    assert read_header(path, name) == photo.header
    assert photo.pixels.flags.c_contiguous
    assert photo.pixels.dtype.isnative
    return photo


def again(photo: Photo, format_name: str) -> Photo:
    file = io.BytesIO()
    write_photo(photo, file, format_by_name(format_name))
    return read_photo(file.getvalue(), "again")


COLOUR = netpbm("rgb16.ppm")
ALPHA = netpbm("alpha16.pgm")[..., 0]
DEEP = {
    "rgb16.png": (COLOUR, None),
    "rgb16-interlaced.png": (COLOUR, None),
    "rgba16.png": (COLOUR, ALPHA),
    "grey-alpha16.png": (ALPHA[..., None], ALPHA[::-1]),
    "rgb16-plain.tif": (COLOUR, None),
    "rgb16-lzw.tif": (COLOUR, None),
    "rgb16-deflate-big-endian.tif": (COLOUR, None),
    "rgb16-planes.tif": (COLOUR, None),
    "rgb16-tiles.tif": (COLOUR, None),
    "rgb16-bigtiff.tif": (COLOUR, None),
    "rgba16.tif": (COLOUR, ALPHA),
}


def test_the_truth_has_16_bits() -> None:
    assert COLOUR.dtype == np.uint16
    assert (COLOUR % 257 != 0).mean() > 0.9


@pytest.mark.parametrize("name", DEEP)
def test_16_bits_are_read_exactly(name: str) -> None:
    colours, alpha = DEEP[name]
    photo = fixture(name)
    np.testing.assert_array_equal(photo.pixels, colours)
    if alpha is None:
        assert photo.alpha is None
    else:
        np.testing.assert_array_equal(photo.alpha, alpha)


@pytest.mark.parametrize("format_name", ["png", "tiff"])
@pytest.mark.parametrize("name", ["rgb16.png", "rgba16.png", "grey-alpha16.png"])
def test_16_bits_come_back_exactly(name: str, format_name: str) -> None:
    photo = fixture(name)
    if name == "grey-alpha16.png" and format_name == "tiff":
        photo = Photo(np.repeat(ALPHA[..., None], 3, 2).astype(np.uint16), photo.alpha, photo.metadata)
    back = again(photo, format_name)
    np.testing.assert_array_equal(back.pixels, photo.pixels)
    if photo.alpha is None:
        assert back.alpha is None
    else:
        np.testing.assert_array_equal(back.alpha, photo.alpha)


def test_16_bit_colours_come_out_of_their_alpha() -> None:
    photo = fixture("rgba16-premultiplied.tif")
    np.testing.assert_array_equal(photo.alpha, ALPHA)
    # What was rounded once when it was multiplied is off by half a step divided by alpha.
    allowed = 1 + 0.5 * 65535 / ALPHA[..., None]
    assert (np.abs(photo.pixels.astype(float) - COLOUR) <= allowed).all()


def test_a_compression_that_the_extra_lacks_is_refused() -> None:
    with pytest.raises(InputError, match=r"rgb16-zstd\.tif cannot be decoded \(.*export it with LZW"):
        fixture("rgb16-zstd.tif")


@pytest.mark.parametrize("name", ["rgb16.png", "rgba16.tif"])
def test_without_the_extra_16_bits_are_refused_by_a_sentence_that_names_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyvips", None)
    for read in (read_header, read_photo):
        with pytest.raises(InputError, match=r"16 bits .* pip install 'manet-cli\[vips\]'"):
            read(FIXTURES / name, name)


@pytest.mark.parametrize("name", ["rgb16.png", "rgb16-lzw.tif", "rgb16-plain.tif"])
def test_16_bits_cut_off_or_damaged_give_a_photo_or_a_sentence(name: str) -> None:
    data = (FIXTURES / name).read_bytes()
    for length in range(1, len(data) - 1, 97):
        try:
            whole = read_photo(data[:length], name)
        except InputError:
            continue
        # All that may be missing is what a TIFF has after its pixels.
        assert name.endswith(".tif")
        np.testing.assert_array_equal(whole.pixels, COLOUR)
    generator = np.random.default_rng(7)
    sentences = 0
    for _ in range(50):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[int(generator.integers(0, len(data)))] = int(generator.integers(0, 256))
        try:
            read_photo(bytes(damaged), name)
        except InputError:
            sentences += 1
    assert sentences > 0
