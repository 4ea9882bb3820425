"""The decoded photos: the same pixels, decoded once, and unusable photos."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manet_cli.errors import InputError, OutputError
from manet_cli.images import Photo, read_photo
from manet_cli.training import photos as module
from manet_cli.training.photos import CELL, PhotoCache, open_cache
from tests.guard import guarded
from tests.training.conftest import draw_photo


def pixels_of(cache: PhotoCache, number: int) -> np.ndarray:
    height, width, start = (int(t[number]) for t in (cache.heights, cache.widths, cache.starts))
    return cache.pixels[start : start + height * width].reshape(height, width, 3).numpy()


def test_the_cache_holds_the_pixels_of_every_photo(cache: PhotoCache, photos: Path) -> None:
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        np.testing.assert_array_equal(pixels_of(cache, number), np.array(Image.open(path)))


def test_texture_sums_are_those_of_the_laplacian(cache: PhotoCache, photos: Path) -> None:
    green = np.array(Image.open(photos / "a.png"))[..., 1].astype(int)
    laplacian = np.zeros_like(green)
    for y in range(1, green.shape[0] - 1):
        for x in range(1, green.shape[1] - 1):
            around = green[y - 1, x] + green[y + 1, x] + green[y, x - 1] + green[y, x + 1]
            laplacian[y, x] = abs(4 * green[y, x] - around)
    rows, columns = green.shape[0] // CELL, green.shape[1] // CELL
    table = cache.texture[: (rows + 1) * (columns + 1)].reshape(rows + 1, columns + 1)
    whole = laplacian[: rows * CELL, : columns * CELL].sum() / CELL**2
    assert float(table[rows, columns]) == pytest.approx(whole, rel=1e-5)
    part = laplacian[CELL : 3 * CELL, 2 * CELL : 4 * CELL].sum() / CELL**2
    assert float(table[3, 4] - table[1, 4] - table[3, 2] + table[1, 2]) == pytest.approx(part, rel=1e-4)


def test_the_cache_is_taken_as_it_is_until_a_photo_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_photo(1).save(tmp_path / "a.png")
    decoded = []

    def read(data: bytes, name: str) -> Photo:
        decoded.append(name)
        return read_photo(data, name)

    monkeypatch.setattr(module, "read_photo", read)
    first = open_cache([tmp_path / "a.png"], tmp_path, tmp_path / "cache", smallest=64)
    again = open_cache([tmp_path / "a.png"], tmp_path, tmp_path / "cache", smallest=64)
    assert decoded == ["a.png"]
    assert again.digest == first.digest
    draw_photo(2).save(tmp_path / "a.png")
    os.utime(tmp_path / "a.png", ns=(1, 1))
    changed = open_cache([tmp_path / "a.png"], tmp_path, tmp_path / "cache", smallest=64)
    assert decoded == ["a.png", "a.png"]
    assert changed.digest != first.digest
    (tmp_path / "cache" / "photos.rgb").write_bytes(b"cut off")
    open_cache([tmp_path / "a.png"], tmp_path, tmp_path / "cache", smallest=64)
    assert len(decoded) == 3


def test_grey_and_16_bit_photos_become_8_bit_rgb(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 128 * 128).reshape(128, 128).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    cache = open_cache([tmp_path / "deep.png"], tmp_path, tmp_path / "cache", smallest=64)
    expected = np.rint(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(pixels_of(cache, 0), np.repeat(expected[..., None], 3, axis=2))


def test_what_cannot_be_used_is_reported_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    draw_photo(1).save(tmp_path / "good.png")
    draw_photo(2, (30, 30)).save(tmp_path / "tiny.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    clear = draw_photo(3).convert("RGBA")
    clear.putalpha(100)
    clear.save(tmp_path / "clear.png")
    paths = [tmp_path / name for name in ("tiny.png", "broken.png", "good.png", "clear.png", "gone.png")]
    with caplog.at_level(logging.WARNING):
        cache = open_cache(paths, tmp_path, tmp_path / "cache", smallest=64)
    assert len(cache) == 1
    text = caplog.text
    assert "tiny.png is 30x30, but a training patch with its margin needs 64x64" in text
    assert "broken.png" in text
    assert "clear.png has transparent pixels" in text
    assert "gone.png does not exist" in text


def test_no_usable_photo_is_an_error_and_leaves_no_cache(tmp_path: Path) -> None:
    draw_photo(2, (30, 30)).save(tmp_path / "tiny.png")
    with pytest.raises(InputError, match="none of the 1 pictures"):
        open_cache([tmp_path / "tiny.png"], tmp_path, tmp_path / "cache", smallest=64)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_photo(1).save(tmp_path / "a.png")

    def full(*args: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "_decode_all", full)
    with pytest.raises(OutputError, match=r"No space left on device.*free some space"):
        open_cache([tmp_path / "a.png"], tmp_path, tmp_path / "cache", smallest=64)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_no_regular_file_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)).save(photos / "a.png")
    os.mkfifo(photos / "b.png")
    (photos / "c.webp").write_bytes(b"RIFF    WEBPVP8 ")
    os.truncate(photos / "c.webp", 100 << 30)
    with guarded():
        cache = open_cache(sorted(photos.iterdir()), photos, tmp_path / "cache", smallest=40)
    assert len(cache) == 1
    assert "left out: b.png is not a regular file" in caplog.text
    assert "left out: c.webp has 107374182400 bytes or more" in caplog.text
