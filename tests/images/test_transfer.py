"""Transfer curves against LittleCMS with the same profiles."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from manet_cli.images import read_photo, transfer_curves

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
FIXTURES = Path(__file__).parents[1] / "fixtures"


def profile(
    *, kind: int | None = None, numbers: tuple[float, ...] = (), table: tuple[int, ...] = ()
) -> bytes:
    """An sRGB profile with another curve: a formula with its numbers, or a table of 16-bit values."""
    whole = SRGB.tobytes()
    place = whole.index(b"para" + bytes(4))  # one curve for all channels, of 32 bytes
    if kind is None:
        curve = b"curv" + bytes(4) + struct.pack(f">L{len(table)}H", len(table), *table)
    else:
        fixed = (round(number * 65_536) for number in numbers)
        curve = b"para" + bytes(4) + struct.pack(f">HH{len(numbers)}l", kind, 0, *fixed)
    if len(curve) <= 32:
        return whole[:place] + curve.ljust(32, b"\0") + whole[place + 32 :]
    entry = struct.pack(">LL", place, 32)
    moved = whole.replace(entry, struct.pack(">LL", len(whole), len(curve))) + curve
    return struct.pack(">L", len(moved)) + moved[4:]


def by_littlecms(data: bytes, values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(data))
    transform = ImageCms.buildTransform(source, SRGB, "RGB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    result = ImageCms.applyTransform(Image.fromarray(values), transform)
    assert result is not None
    return result


CURVES = {
    "linear": profile(table=()),
    "gamma 1.8": profile(table=(round(1.8 * 256),)),
    "table": profile(table=tuple(round(65_535 * (x / 63) ** 1.5) for x in range(64))),
    "formula 0": profile(kind=0, numbers=(1.8,)),
    "formula 1": profile(kind=1, numbers=(1.6, 1.1, -0.1)),
    "formula 2": profile(kind=2, numbers=(1.5, 0.95, 0.05, -0.01118)),
    "formula 3": profile(kind=3, numbers=(1.8, 1.0, 0.0, 1 / 16, 1 / 32)),
    "formula 4": profile(kind=4, numbers=(1.5, 0.98, 0.0, 0.3, 0.02, 0.02, 0.0)),
}


@pytest.mark.parametrize("name", CURVES)
def test_numbers_become_what_littlecms_makes_of_them(name: str) -> None:
    curves = transfer_curves(CURVES[name], 3)
    assert curves is not None
    generator = np.random.default_rng(3)
    values = generator.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    expected = np.asarray(by_littlecms(CURVES[name], values)).astype(float)
    assert np.abs(expected - values).max() > 10
    assert np.abs(curves.to_srgb(values / np.float32(255)) * 255 - expected).max() < 1.2


@pytest.mark.parametrize("name", CURVES)
def test_every_number_of_16_bits_comes_back(name: str) -> None:
    curves = transfer_curves(CURVES[name], 3)
    assert curves is not None
    values = np.arange(65_536).repeat(3).reshape(-1, 1, 3)
    back = curves.from_srgb(curves.to_srgb(values / np.float32(65_535))) * 65_535
    # Where a curve is 0 or below, it cannot be inverted: at the start of these two.
    start = {"formula 1": 6_100, "formula 2": 10}.get(name, 0)
    assert np.abs(back - values)[start:].max() < 1.0


def test_curves_near_those_of_srgb_need_nothing() -> None:
    assert transfer_curves(SRGB.tobytes(), 3) is None
    assert transfer_curves(profile(table=(round(2.2 * 256),)), 3) is None
    adobe = read_photo(FIXTURES / "camera.jpg", "a").metadata.icc_profile
    assert adobe is not None
    assert transfer_curves(adobe, 3) is None


def test_profiles_that_do_not_fit_are_left_alone() -> None:
    linear = CURVES["linear"]
    assert transfer_curves(None, 3) is None
    assert transfer_curves(linear, 1) is None
    assert transfer_curves(b"no profile at all", 3) is None
    for length in range(0, len(linear), 7):
        transfer_curves(linear[:length], 3)
    falling = profile(table=(65_535, 0))
    assert transfer_curves(falling, 3) is None
    generator = np.random.default_rng(5)
    for _ in range(100):
        damaged = bytearray(linear)
        for _ in range(4):
            damaged[int(generator.integers(0, len(linear)))] = int(generator.integers(0, 256))
        curves = transfer_curves(bytes(damaged), 3)
        if curves is not None:
            assert np.isfinite(curves.to_srgb(np.linspace(0, 1, 9).repeat(3).reshape(-1, 3))).all()
