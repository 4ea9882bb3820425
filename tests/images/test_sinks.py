"""Sinks that collect rows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from manet_cli.errors import OutputError
from manet_cli.images import ImageFormat, Photo, format_by_name, open_output, room_beside, sinks, write_photo

from .conftest import photo

KINDS = {"rgb": photo(3), "grey": photo(1), "rgba": photo(3, alpha=True), "grey-alpha": photo(1, alpha=True)}


def by_rows(what: Photo, path: Path, fmt: ImageFormat, count: int) -> bytes:
    with open_output(path, fmt, what.header, what.metadata, record="r") as sink:
        for start in range(0, what.height, count):
            part = slice(start, start + count)
            sink.write(what.pixels[part], None if what.alpha is None else what.alpha[part])
    return path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_neither_the_disk_nor_the_number_of_rows_changes_a_byte(
    fmt: ImageFormat, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = KINDS[kind]
    if what.alpha is not None and not fmt.alpha:
        return
    path = tmp_path / "picture"
    write_photo(what, path, fmt, record="r")
    whole = path.read_bytes()
    assert by_rows(what, path, fmt, 1) == whole
    monkeypatch.setattr(sinks, "_LARGE", 0)
    assert by_rows(what, path, fmt, 7) == whole
    assert list(tmp_path.iterdir()) == [path]
    on_disk = room_beside(fmt, what.header)
    assert on_disk == 0 if fmt.name in ("png", "tiff") else on_disk >= what.pixels.nbytes


def test_a_disk_too_small_for_the_collected_picture_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sinks, "_LARGE", 0)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OutputError, match=r"a\.jpg cannot be written \(No space left on device\)"):
        write_photo(photo(3), tmp_path / "a.jpg", format_by_name("jpeg"))


def test_collected_photos_are_what_came() -> None:
    what = photo(3, alpha=True)
    sink = sinks.CollectedPhoto(what.header)
    for row in range(what.height):
        assert what.alpha is not None
        sink.write(what.pixels[row : row + 1], what.alpha[row : row + 1])
    back = sink.photo(what.metadata)
    np.testing.assert_array_equal(back.pixels, what.pixels)
    np.testing.assert_array_equal(back.alpha, what.alpha)
