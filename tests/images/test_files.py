"""Opening pictures: special files and files larger than any picture are refused unread."""

from __future__ import annotations

import io
import os
import struct
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images import content, formats, headers, read_content, read_header, read_photo

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


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("hollday.jpg", "holiday.jpg"),
        ("holiday.jpeg", "holiday.jpg"),
        ("Holiday.JPG", "holiday.jpg"),
        ("At", "At the sea 2.png"),
        ("IMG_0001.JPEG", "IMG_0001.JPG"),
        ("IMG_0002.JPG", None),
        ("IMG_001.JPG", "IMG_0001.JPG"),
        ("x.tif", None),
        ("nowhere/holiday.jpg", None),
    ],
)
def test_a_similar_name_is_suggested_for_a_missing_file(
    tmp_path: Path, given: str, meant: str | None
) -> None:
    for name in ("holiday.jpg", "At the sea 2.png", "IMG_0001.JPG"):
        (tmp_path / name).touch()
    with pytest.raises(InputError) as caught:
        read_photo(tmp_path / given, given)
    advice = f'give "{tmp_path / meant}" if you mean that' if meant else "check the path"
    assert str(caught.value) == f"{given} does not exist: {advice}."


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("suffix", [".webp", ".png", ".tif", ".dng"])
def test_a_sparse_file_is_refused_before_it_is_read(
    tmp_path: Path, suffix: str, read: Callable[[Path, str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"large{suffix}"
    path.write_bytes(b"RIFF\xff\xff\xff\xffWEBPVP8 ")
    os.truncate(path, 100 << 30)
    monkeypatch.setattr(content, "_read_at_most", lambda *_: pytest.fail("it was read"))
    with pytest.raises(InputError, match=r"^a has 107374182400 bytes or more, too many for a picture of"):
        read(path, "a")


def test_the_limit_follows_the_pixels(tmp_path: Path) -> None:
    image = Image.fromarray(pixels(3)).resize((40, 24))
    data = encode(image, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    os.truncate(path, (256 << 20) + 8 * 960)  # zeros after the end
    assert read_header(path, "a", 960).width == 40
    os.truncate(path, (256 << 20) + 8 * 960 + 1)
    with pytest.raises(InputError, match="too many for a picture of at most 960 pixels: make it smaller"):
        read_header(path, "a", 960)
    # More pixels allowed, but this picture has no more than 960.
    with pytest.raises(InputError, match="a has 256 MiB, more than the limit of 256 MiB for such a file"):
        read_header(path, "a", 961)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "JPEG2000"])
def test_a_file_larger_than_its_picture_is_refused_before_it_is_read(
    tmp_path: Path, format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smaller than the limit of all pictures, but larger than the claimed picture can be."""
    path = tmp_path / "a"
    path.write_bytes(encode(Image.fromarray(pixels(3)), format_name))
    os.truncate(path, 1700 << 20)
    monkeypatch.setattr(content, "_read_at_most", lambda *_: pytest.fail("it was read"))
    with pytest.raises(InputError, match=r"^a has 1700 MiB, more than the limit of 256 MiB for such a"):
        read_content(path, "a")


@pytest.mark.parametrize(
    "start", [b"FUJIFILMCCD-RAW ", struct.pack("<2sHLHHHLL", b"II", 42, 8, 1, 50706, 1, 4, 1)]
)
def test_a_raw_file_larger_than_its_picture_is_refused_before_it_is_read(
    tmp_path: Path, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(start)
    os.truncate(path, 1700 << 20)
    monkeypatch.setattr(content, "_read_at_most", lambda *_: pytest.fail("it was read"))
    monkeypatch.setattr(headers, "content_of", lambda *_: pytest.fail("it was read"))
    for read in READERS:
        with pytest.raises(InputError, match=r"^a has 1700 MiB, more than the limit of 256 MiB for such"):
            read(path, "a")


class Endless(io.RawIOBase):
    """A stream with the given start and then zeros."""

    def __init__(self, start: bytes = b"") -> None:
        self.start = start
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= 1 << 20
        data = self.start[:size].ljust(size, b"\0")
        self.start = self.start[size:]
        self.given += size
        return data


def test_standard_input_is_refused_by_its_first_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in (b"", b"<html>", b"\x1f\x8b", b"II\x2c\0"):
        endless = Endless(start)
        monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=endless))
        with pytest.raises(InputError, match=r"^standard input is not a PNG, JPEG, .* picture: give a"):
            read_content(None, "-")
        assert endless.given <= 256
        path = tmp_path / "a"
        path.write_bytes(start + bytes(2000))
        monkeypatch.setattr(content, "_read_at_most", lambda *_: pytest.fail("it was read"))
        with pytest.raises(InputError, match=r"^a is not a PNG"):
            read_content(path, "a")


def test_what_any_format_of_the_list_begins_with_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a new format in the list, if Pillow reads it."""
    qoi = replace(formats.FORMATS[0], name="qoi", pillow_name="QOI")
    data = b"qoif" + struct.pack(">LLBB", 1, 1, 3, 0) + b"\xfe\1\2\3" + bytes(7) + b"\1"
    for listed in (False, True):
        monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))
        if listed:
            monkeypatch.setattr(formats, "FORMATS", [*formats.FORMATS, qoi])
            monkeypatch.setattr(content, "FORMATS", formats.FORMATS)
            assert read_content(None, "-") == data
        else:
            with pytest.raises(InputError, match="is not a PNG"):
                read_content(None, "-")


def test_standard_input_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    start = encode(Image.fromarray(pixels(3)), "PNG")
    endless = Endless(start)
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=endless))
    with pytest.raises(InputError, match=r"^standard input has 268435465 bytes or more"):
        read_content(None, "-", 1)
    assert endless.given == (256 << 20) + 8 + 1
    monkeypatch.setattr(content, "_MOST_STREAMED", 3 << 20)
    endless = Endless(start)
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=endless))
    with pytest.raises(
        InputError, match=r"^standard input has more than 3 MiB: save it as a file and give its name"
    ):
        read_content(None, "-")
    assert endless.given == (3 << 20) + 1


def test_standard_input_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)
    with os.fdopen(descriptor, "rb") as buffer:
        monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=buffer))
        with pytest.raises(InputError, match=r"^standard input cannot be read \(.+\): give a file\.$"):
            read_content(None, "-")
