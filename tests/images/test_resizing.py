"""Resampling row by row against resampling the whole picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from manet_cli.images import CollectedPhoto, Header, Metadata, Photo, Resizer

SIZES = [(40, 30), (97, 61), (13, 9), (200, 61), (97, 7), (1, 1), (194, 122), (96, 60)]


def noise(height: int, width: int, channels: int = 3, *, alpha: bool = False, bits: int = 8) -> Photo:
    generator = np.random.default_rng(height)
    dtype = np.uint16 if bits == 16 else np.uint8
    pixels = generator.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)
    return Photo(pixels, generator.integers(0, 256, (height, width), np.uint8) if alpha else None, Metadata())


def resized(what: Photo, width: int, height: int, rows: int) -> Photo:
    """Resize a photo, written `rows` rows at a time."""
    source = what.header
    target = Header(width, height, source.channels, source.has_alpha, source.bits)
    sink = CollectedPhoto(target)
    resizer = Resizer(source, target, sink)
    for start in range(0, what.height, rows):
        part = slice(start, start + rows)
        resizer.write(what.pixels[part], None if what.alpha is None else what.alpha[part])
    return sink.photo(Metadata())


def by_pillow(plane: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[np.float32]:
    image = Image.fromarray(plane.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rows", [1, 7, 200])
@pytest.mark.parametrize(("channels", "bits"), [(3, 8), (1, 16)])
def test_rows_give_what_the_whole_gives(size: tuple[int, int], rows: int, channels: int, bits: int) -> None:
    what = noise(61, 97, channels, bits=bits)
    found = resized(what, *size, rows)
    assert found.pixels.dtype == what.pixels.dtype
    largest = 2**bits - 1
    for channel in range(channels):
        expected = by_pillow(what.pixels[..., channel], *size).clip(0, largest)
        np.testing.assert_allclose(found.pixels[..., channel], expected, atol=0.51 if bits == 8 else 0.6)


@pytest.mark.parametrize("size", [(130, 300), (333, 513), (64, 64)])
def test_how_rows_come_does_not_matter(size: tuple[int, int]) -> None:
    what = noise(257, 65, alpha=True)
    first = resized(what, *size, 1)
    for rows in (10, 64, 257):
        again = resized(what, *size, rows)
        np.testing.assert_array_equal(again.pixels, first.pixels)
        np.testing.assert_array_equal(again.alpha, first.alpha)


def test_the_same_size_is_the_same_picture() -> None:
    what = noise(100, 50)
    np.testing.assert_array_equal(resized(what, 50, 100, 9).pixels, what.pixels)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_flat_stays_flat(size: tuple[int, int]) -> None:
    what = Photo(np.full((61, 97, 3), 77, np.uint8), np.full((61, 97), 200, np.uint8), Metadata())
    found = resized(what, *size, 10)
    assert found.alpha is not None
    assert (found.pixels == 77).all()
    assert (found.alpha == 200).all()


def test_what_is_invisible_does_not_bleed() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, :20] = 200
    alpha = np.where(np.arange(40) < 20, 255, 0).astype(np.uint8)[None].repeat(40, 0)
    found = resized(Photo(pixels, alpha, Metadata()), 27, 27, 5)
    assert found.alpha is not None
    seen = found.pixels[found.alpha > 20].astype(int)
    assert np.abs(seen - 200).max() <= 1


def test_fine_patterns_become_grey_instead_of_coarse() -> None:
    stripes = (np.indices((160, 160)).sum(0) % 2 * 255).astype(np.uint8)[..., None]
    found = resized(Photo(stripes, None, Metadata()), 53, 53, 16).pixels[3:-3, 3:-3].astype(int)
    assert np.abs(found - 127.5).max() < 2


def test_the_middle_stays_the_middle() -> None:
    ramp = np.linspace(20, 220, 200).round().astype(np.uint8)[:, None, None].repeat(100, 1)
    found = resized(Photo(ramp, None, Metadata()), 37, 71, 16).pixels[3:-3, 3:-3, 0].astype(float)
    expected = np.interp((np.arange(71) + 0.5) * 200 / 71 - 0.5, np.arange(200), ramp[:, 0, 0])[3:-3]
    assert np.abs(found - expected[:, None]).max() < 1
