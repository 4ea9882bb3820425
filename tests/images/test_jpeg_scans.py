"""JPEG files with an incomplete picture that libjpeg decodes without an error."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images import jpeg_strict, read_photo

from .conftest import encode, exif_block

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 4},
    "restarts and progressive": {"restart_marker_rows": 1, "progressive": True},
    "full colours": {"subsampling": "4:4:4", "quality": 98},
}
MODES = ("RGB", "L")


@pytest.fixture(params=["alone", "simplejpeg", "pyvips"], autouse=True)
def _decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no strict decoder, or with one of them."""
    if request.param == "alone":
        monkeypatch.setattr(jpeg_strict, "warnings_of", lambda data: None)
    else:
        pytest.importorskip(request.param)
        ask = {"simplejpeg": jpeg_strict._of_simplejpeg, "pyvips": jpeg_strict._of_vips}[request.param]
        monkeypatch.setattr(jpeg_strict, "warnings_of", ask)


def noisy(mode: str = "RGB") -> Image.Image:
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[0:75, 0:112]
    waves = 128 + 60 * np.sin(columns / 9) * np.cos(rows / 7)
    values = waves[..., None] + generator.normal(0, 12, (75, 112, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert(mode)


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    return encode(noisy(mode), "JPEG", **options)


def scans(data: bytes) -> list[tuple[int, int]]:
    """The positions of the coded blocks of each interval, found without the code under test."""
    found: list[tuple[int, int]] = []
    position = data.index(b"\xff\xda")
    while True:
        if data[position + 1] == 0xDA:
            start = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        elif 0xD0 <= data[position + 1] <= 0xD7:
            start = position + 2
        elif data[position + 1] == 0xD9:
            return found
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
            continue
        match = re.compile(rb"\xff[^\0]", re.DOTALL).search(data, start)
        assert match is not None
        found.append((start, match.start()))
        position = match.start()


def damaged(data: bytes, reason: str = "is damaged") -> None:
    with pytest.raises(InputError, match=f"^a {reason}.*copy or export it again"):
        read_photo(data, "a")


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_whole_pictures_are_read_without_a_word(
    mode: str, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert read_photo(jpeg(mode, **options), "a").pixels.shape[:2] == (75, 112)
    assert not caplog.records


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_even_pictures_of_zeros_alone_are_read(
    value: int, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    # With optimised tables a constant area is a run of zero bits.
    image = Image.new("RGB", (1500, 1100), (value, value, value))
    assert (read_photo(encode(image, "JPEG", **options), "a").pixels == value).all()
    assert not caplog.records


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_a_scan_that_ends_early_is_refused(mode: str, options: dict[str, Any], share: float) -> None:
    data = jpeg(mode, **options)
    for start, stop in scans(data):
        if stop - start > 90:  # with less data, hardly a pixel may change
            cut = start + int(share * (stop - start))
            damaged(data[:cut] + data[stop:])
            damaged(data[:cut].rstrip(b"\xff") + b"\xff\xd9")


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("count", [512, 4096, 60_000])
def test_zeros_in_place_of_blocks_are_refused(count: int, options: dict[str, Any]) -> None:
    data = jpeg(**options)
    start, stop = max(scans(data), key=lambda scan: scan[1] - scan[0])
    cut = (start + stop) // 2
    damaged(data[:cut].rstrip(b"\xff") + bytes(count) + b"\xff\xd9")


def test_zeros_in_the_middle_of_a_scan_are_refused() -> None:
    data = jpeg(quality=95)
    ((start, _),) = scans(data)
    damaged(data[: start + 900].rstrip(b"\xff") + bytes(512) + data[start + 1412 :])


def test_a_progressive_picture_without_its_last_scans_is_refused() -> None:
    data = jpeg(progressive=True)
    for _, stop in scans(data)[:-1]:
        damaged(data[:stop] + b"\xff\xd9", "is damaged: some of its scans are missing")


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("extra", [b"\x35\x91" * 20, bytes(512)], ids=["bytes", "zeros"])
def test_bytes_that_no_block_needs_are_said(
    extra: bytes, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    data = jpeg(**options)
    expected = read_photo(data, "a").pixels
    assert not caplog.records
    _, stop = scans(data)[-1]
    np.testing.assert_array_equal(read_photo(data[:stop] + extra + data[stop:], "a").pixels, expected)
    assert caplog.messages == ["a: extra bytes after its pixels are ignored"]


def test_a_second_picture_behind_is_none_of_this_ones_data(caplog: pytest.LogCaptureFixture) -> None:
    first, second = noisy(), noisy().rotate(180)
    data = encode(first, "MPO", save_all=True, append_images=[second])
    whole = read_photo(data, "a")
    np.testing.assert_array_equal(whole.pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert not caplog.records
    start, stop = scans(data)[0]
    damaged(data[: (start + stop) // 2].rstrip(b"\xff") + data[stop:])


def test_the_thumbnail_in_the_exif_is_no_scan(caplog: pytest.LogCaptureFixture) -> None:
    block = b"Exif\0\0" + exif_block(thumbnail=True)
    assert read_photo(jpeg(exif=block), "a").width == 75
    assert not caplog.records


def test_codes_that_do_not_exist_are_refused_where_a_decoder_tells(request: pytest.FixtureRequest) -> None:
    if "alone" in request.node.name:
        pytest.skip("nobody is asked")
    data = jpeg(quality=95)
    ((start, stop),) = scans(data)
    middle = (start + stop) // 2
    damaged(data[:middle].rstrip(b"\xff") + b"\xff\0" * 6 + data[middle:], "is damaged: the decoder says")


def test_a_warning_about_something_else_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    data = jpeg()
    version = data.index(b"JFIF\0") + 5
    read_photo(data[:version] + b"\x09" + data[version + 1 :], "a")
    assert not caplog.records
