"""Measured noise and JPEG quality against known damage."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images import Damage, denoise_of, measure_damage, quality_of_tables

Pixels = npt.NDArray[Any]


def scene(height: int = 160, width: int = 240, channels: int = 3) -> Pixels:
    """Discs on a ramp, drawn large and shrunk: flat areas, edges and texture without damage."""
    generator = np.random.default_rng(7)
    rows, columns = np.mgrid[0 : 2 * height, 0 : 2 * width].astype(np.float64)
    planes = np.stack([70 + rows / 8, 90 + columns / 9, 60 + (rows + columns) / 9], axis=-1)
    planes += (4 * np.sin(columns / 3) * np.sin(rows / 4) * (rows > height))[..., None]
    for _ in range(60):
        row, column, radius = generator.uniform(0, [2 * height, 2 * width, 30])
        planes[np.hypot(rows - row, columns - column) < radius] = generator.uniform(40, 210, 3)
    small = planes.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
    return np.asarray(small[..., :channels] + 0.5, np.uint8)


def noisy(pixels: Pixels, level: float) -> Pixels:
    noise = np.random.default_rng(1).normal(0, level, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def compressed(pixels: Pixels, quality: int, subsampling: int = 2) -> Pixels:
    file = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    decoded = np.asarray(Image.open(file))
    return decoded[..., None] if decoded.ndim == 2 else decoded


def tables_of(quality: int, mode: str = "RGB") -> dict[int, list[int]]:
    file = io.BytesIO()
    Image.new(mode, (16, 16)).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        tables: dict[int, list[int]] = image.quantization
    return tables


def drawings() -> dict[str, Pixels]:
    rows, columns = np.mgrid[0:160, 0:240]
    generator = np.random.default_rng(3)
    tiles = np.kron(generator.integers(0, 256, (20, 30, 3)), np.ones((8, 8, 1)))
    wave = 127 + 100 * np.sin(rows * np.pi / 4) * np.sin(columns * np.pi / 4)
    ramp = np.stack([rows, columns, (rows + columns) // 2], axis=-1)
    return {
        "scene": scene(),
        "grey": scene(channels=1),
        "black": np.zeros((50, 70, 3)),
        "white": np.full((50, 70, 3), 255),
        "constant": np.full((50, 70, 1), 99),
        "tiny": scene(20, 20),
        "pixel": np.full((1, 1, 3), 7),
        "strip": scene(8, 300),
        "tiles": tiles,
        "ramp": ramp,
        "checks": np.repeat(((rows // 8 + columns // 8) % 2 * 200 + 20)[..., None], 3, axis=2),
        "wave": np.repeat(wave[..., None], 3, axis=2),
        "lines": np.repeat(((rows * 3 + columns * 5) % 31 < 3)[..., None] * 255, 3, axis=2),
    }


@pytest.mark.parametrize("name", drawings())
def test_clean_pictures_need_no_denoising(name: str) -> None:
    damage = measure_damage(drawings()[name].astype(np.uint8))
    assert damage.jpeg_quality is None
    assert denoise_of(damage) == 0


@pytest.mark.parametrize(("level", "channels"), [(2, 3), (5, 3), (10, 3), (5, 1), (10, 1)])
def test_noise_is_found(level: float, channels: int) -> None:
    damage = measure_damage(noisy(scene(channels=channels), level))
    assert damage.noise == pytest.approx(level, rel=0.2)
    assert damage.jpeg_quality is None


def test_grey_in_three_channels_is_grey() -> None:
    grey = noisy(scene(channels=1), 5)
    assert measure_damage(np.repeat(grey, 3, axis=2)).noise == pytest.approx(measure_damage(grey).noise)


def test_clipped_areas_do_not_hide_noise() -> None:
    pixels = scene().astype(np.int64)
    pixels[:, :90] -= 400
    pixels[:, 150:] += 400
    assert measure_damage(noisy(pixels, 5)).noise == pytest.approx(5, rel=0.2)
    assert measure_damage(pixels.clip(0, 255).astype(np.uint8)).noise < 1


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("quality", [40, 60, 75, 85, 90, 95, 97])
def test_jpeg_is_found(quality: int, subsampling: int) -> None:
    found = measure_damage(compressed(noisy(scene(), 1), quality, subsampling)).jpeg_quality
    assert found == pytest.approx(quality, abs=3)


@pytest.mark.parametrize("shift", [(3, 5), (7, 0), (1, 6)])
def test_a_shifted_grid_is_found(shift: tuple[int, int]) -> None:
    whole = compressed(noisy(scene(), 1), 80)
    found = measure_damage(whole[shift[0] :, shift[1] :]).jpeg_quality
    assert found == pytest.approx(80, abs=3)


def test_a_grey_jpeg_is_found() -> None:
    assert measure_damage(compressed(scene(channels=1), 75)).jpeg_quality == pytest.approx(75, abs=3)


def test_the_file_tells_the_quality() -> None:
    assert measure_damage(scene(), 93.5).jpeg_quality == 93.5
    assert measure_damage(compressed(scene(), 75), 76.0).jpeg_quality == 76
    assert measure_damage(compressed(scene(), 60), 98.0).jpeg_quality == pytest.approx(60, abs=3)


def test_noise_is_found_in_a_jpeg() -> None:
    fine = compressed(noisy(scene(), 6), 96)
    assert measure_damage(fine).noise == pytest.approx(6, rel=0.3)
    assert denoise_of(measure_damage(fine)) > 0.8


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_give_the_same(channels: int) -> None:
    for pixels in (noisy(scene(channels=channels), 5), compressed(scene(channels=channels), 80)):
        deep = measure_damage(pixels.astype(np.uint16) * 257)
        shallow = measure_damage(pixels)
        assert deep.noise == pytest.approx(shallow.noise, abs=0.01)
        assert deep.jpeg_quality == pytest.approx(shallow.jpeg_quality, abs=0.5)


def test_a_large_picture_is_thinned() -> None:
    large = np.tile(noisy(scene(), 5), (12, 12, 1))
    assert measure_damage(large).noise == pytest.approx(5, rel=0.2)
    assert measure_damage(large[:9].repeat(20, axis=1)).jpeg_quality is None


def test_the_dial_is_monotone_and_continuous() -> None:
    qualities = [None, *np.arange(100, 0, -0.25)]
    dial = np.array([[denoise_of(Damage(n, q)) for q in qualities] for n in np.arange(0, 6, 0.05)])
    assert dial.min() == 0
    assert dial.max() == 1
    assert dial[0, 0] == dial[0, 1] == 0
    for axis in (0, 1):
        assert np.diff(dial, axis=axis).min() >= -1e-12
        assert np.diff(dial, axis=axis).max() < 0.1
    assert 0.1 <= denoise_of(Damage(2, None)) <= 0.3
    assert 0.2 <= denoise_of(Damage(0, 98)) < denoise_of(Damage(0, 95)) < 0.6
    assert denoise_of(Damage(0, 85)) > 0.8
    assert denoise_of(Damage(8, None)) == denoise_of(Damage(0, 80)) == 1
    assert denoise_of(Damage(0, None), from_camera=True) == 0.85
    assert denoise_of(Damage(8, None), from_camera=True) == 1


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_tables_tell_the_quality(mode: str) -> None:
    for quality in range(30, 101):
        assert quality_of_tables(tables_of(quality, mode)) == pytest.approx(quality, abs=0.5)


def test_tables_of_cameras_count_by_their_mean() -> None:
    assert quality_of_tables({0: [1] * 64}) > 97
    assert quality_of_tables({0: [255] * 64, 1: [255] * 64}) < 20
    mixed = [(a + b) // 2 for a, b in zip(tables_of(80)[0], tables_of(90)[0], strict=True)]
    assert 80 < quality_of_tables({0: mixed}) < 90


@pytest.mark.parametrize("tables", [{}, {0: [1] * 63}, {0: [1] * 64, 1: []}])
def test_broken_tables_are_refused(tables: dict[int, list[int]]) -> None:
    with pytest.raises(InputError, match="64"):
        quality_of_tables(tables)


@pytest.mark.parametrize(
    "pixels", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.ones((9, 9, 3))]
)
def test_other_arrays_are_refused(pixels: Pixels) -> None:
    with pytest.raises(InputError, match="shape"):
        measure_damage(pixels)
