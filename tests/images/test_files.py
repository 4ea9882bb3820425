"""The one reader of pictures: what is no regular file, or larger than any picture, is refused unread."""

from __future__ import annotations

import io
import os
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images import files, read_content, read_header, read_photo

from .conftest import encode, pixels

READERS: list[Callable[[Path, str], object]] = [read_content, read_header, read_photo]


@pytest.mark.parametrize("read", READERS)
def test_only_regular_files_that_hold_something_are_read(
    tmp_path: Path, read: Callable[[Path, str], object]
) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "loop.png").symlink_to("loop.png")
    for path, sentence in (
        (tmp_path / "fifo.png", "is not a regular file"),  # opening it must not wait
        (Path("/dev/zero"), "is not a regular file"),
        (tmp_path, "is a folder"),
        (tmp_path / "empty.png", "is empty"),
        (tmp_path / "missing.png", "does not exist"),
        (tmp_path / "loop.png", "cannot be read"),
        (tmp_path / ("long" * 100), "cannot be read"),
        (tmp_path / "nul\0.png", "cannot be read"),
    ):
        with pytest.raises(InputError, match=f"^a.png {sentence}"):
            read(path, "a.png")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("suffix", [".webp", ".png", ".tif", ".dng"])
def test_a_sparse_file_is_refused_before_it_is_read(
    tmp_path: Path, suffix: str, read: Callable[[Path, str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"large{suffix}"
    path.write_bytes(b"RIFF\xff\xff\xff\xffWEBPVP8 ")
    os.truncate(path, 100 << 30)
    monkeypatch.setattr(files, "_read_at_most", lambda file, most: pytest.fail("it was read"))
    with pytest.raises(InputError, match=r"^a has 107374182400 bytes or more, and no picture of at most"):
        read(path, "a")


def test_the_limit_follows_the_pixels(tmp_path: Path) -> None:
    image = Image.fromarray(pixels(3)).resize((40, 24))
    data = encode(image, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    os.truncate(path, (256 << 20) + 8 * 960)  # zeros behind the end
    assert read_header(path, "a", 960).width == 40
    os.truncate(path, (256 << 20) + 8 * 960 + 1)
    with pytest.raises(InputError, match="no picture of at most 960 pixels takes so many: make it smaller"):
        read_header(path, "a", 960)
    # More pixels allowed, but this picture has no more than 960.
    with pytest.raises(InputError, match="a has 256 MiB, more than the 256 MiB that are read of such a file"):
        read_header(path, "a", 961)


def test_standard_input_has_the_same_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            assert 0 < size <= 1 << 20
            self.given += size
            return bytes(size)

    endless = Endless()
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=endless))
    with pytest.raises(InputError, match=r"^standard input has 268435465 bytes or more"):
        read_content(None, "-", 1)
    assert endless.given == (256 << 20) + 8 + 1


def test_standard_input_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)
    with os.fdopen(descriptor, "rb") as buffer:
        monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=buffer))
        with pytest.raises(InputError, match=r"^standard input cannot be read \(.+\): give a file\.$"):
            read_content(None, "-")
