"""Pictures whose metadata or size would take unbounded time or memory are refused unopened."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manet_cli.errors import InputError, OutOfMemoryError
from manet_cli.images import exif, jpeg_scans, read_content, read_header, read_photo, tiff_pictures, xmp
from tests.guard import guarded
from tests.images.conftest import encode, pixels, png_chunk

IMAGE = Image.fromarray(pixels(3))
PNG, JPEG, GIF, JP2 = (encode(IMAGE, name) for name in ("PNG", "JPEG", "GIF", "JPEG2000"))
J2K = encode(IMAGE, "JPEG2000", no_jp2=True)


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    with guarded():
        yield


def directories(count: int, size: int, order: str = ">", tag: int = 0x8769) -> bytes:
    """An EXIF block with a directory below `tag` whose `count` values are all the same `size` bytes."""

    def packed(form: str, *values: int) -> bytes:
        return struct.pack(order + form, *values)

    first = packed("HHHLLL", 1, tag, 4, 1, 26, 0)
    inner = packed("H", count) + b"".join(
        packed("HHLL", number, 7, size, 0) for number in range(1, count + 1)
    )
    mark = b"MM" if order == ">" else b"II"
    return (mark + packed("HL", 42, 8) + first + inner + packed("L", 0)).ljust(size, b"\0")


def tiff(block: bytes) -> bytes:
    """A TIFF whose first directory also points into an EXIF block."""
    file = io.BytesIO()
    order = "<" if block[:2] == b"II" else ">"
    (place,) = struct.unpack_from(order + "L", block, 18)
    width, height = IMAGE.size
    start = len(block) + len(block) % 2
    entries = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, start + 200), (277, 1)]
    entries += [(278, height), (279, width * height), (0x8769, place)]
    file.write(block.ljust(start, b"\0"))
    file.write(struct.pack(order + "H", len(entries)))
    for tag, value in entries:
        file.write(struct.pack(order + "HHLL", tag, 4, 1, value))
    file.write(bytes(4))
    file.seek(start + 200)
    file.write(bytes(width * height))
    data = bytearray(file.getvalue())
    struct.pack_into(order + "L", data, 4, start)
    return bytes(data)


def segments(*contents: bytes) -> bytes:
    """A JPEG with these APP1 segments."""
    parts = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in contents)
    return JPEG[:2] + parts + JPEG[2:]


def split_exif(block: bytes) -> bytes:
    """A JPEG with an EXIF block in several segments."""
    return segments(*(b"Exif\0\0" + block[at : at + 65_000] for at in range(0, len(block), 65_000)))


def gif_comment(blocks: int) -> bytes:
    start = 13 + (3 << (GIF[10] & 7) + 1 if GIF[10] & 0x80 else 0)
    return GIF[:start] + b"!\xfe" + (b"\xff" + bytes(255)) * blocks + b"\0" + GIF[start:]


def chained(count: int) -> bytes:
    """A TIFF of many directories with as many tags as fit, all overlapping."""
    data = bytearray(tiff(directories(1, 26)))
    data += bytes(len(data) % 2)
    place = len(data)
    struct.pack_into(">L", data, 4, place)
    data += b"\xff\xfe" * (6 * count)
    return bytes(data)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L4s", 8 + len(content), kind) + content


def with_boxes(boxes: bytes, in_header: bytes = b"") -> bytes:
    """A JPEG 2000 file with more boxes: before its header, and in it."""
    start = JP2.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">L", JP2, start)
    header = box(b"jp2h", JP2[start + 8 : start + length] + in_header)
    return JP2[:start] + boxes + header + JP2[start + length :]


def with_segments(segments: bytes) -> bytes:
    """A JPEG 2000 codestream with more segments in its header."""
    start = J2K.index(b"\xff\x52")
    return J2K[:start] + segments + J2K[start:]


def tiled(side: int) -> bytes:
    """A JPEG 2000 codestream that claims tiles of this side."""
    data = bytearray(J2K)
    struct.pack_into(">LL", data, 8, 255, 255)
    struct.pack_into(">LL", data, 24, side, side)
    return bytes(data)


def in_strips(count: int, tag: int) -> bytes:
    """A TIFF with so many strips or tiles, all over one another."""
    data = bytearray(tiff(directories(1, 26)))
    (first,) = struct.unpack_from(">L", data, 4)
    at = first + 2 + 12 * 5
    struct.pack_into(">HHLL", data, at, tag, 4, count, len(data))
    return bytes(data) + bytes(4 * count)


OVERLAP = "tags with overlapping values"
ATTACKS: list[tuple[str, Callable[[], bytes], str]] = [
    ("tiff-be", lambda: tiff(directories(20_000, 600_000)), OVERLAP),
    ("tiff-le", lambda: tiff(directories(20_000, 600_000, "<")), OVERLAP),
    ("tiff-tags", lambda: chained(60_000), "too many tags"),
    ("jpeg", lambda: split_exif(directories(20_000, 600_000)), OVERLAP),
    ("jpeg-subifd", lambda: split_exif(directories(20_000, 600_000, tag=0x014A)), OVERLAP),
    ("jpeg-segments", lambda: segments(*[b"Exif\0\0" + bytes(100)] * 9_000), "EXIF in too many segments"),
    ("jpeg-markers", lambda: segments(*[b""] * 20_000), "too many segments"),
    ("jpeg-junk", lambda: JPEG[:2] + bytes(1 << 20) + JPEG[2:], "too many bytes between its segments"),
    ("jpeg-prefix", lambda: segments(b"Exif\0\0" * 9_000), "too many starts of EXIF"),
    ("png-chunks", lambda: PNG[:33] + png_chunk(b"teSt", b"") * 40_000 + PNG[33:], "too many chunks"),
    ("gif-comment", lambda: gif_comment(9_000), "comments in too many blocks"),
    ("tiff-strips", lambda: in_strips(20_000, 273), "too many strips or tiles"),
    ("tiff-tiles", lambda: in_strips(20_000, 324), "too many strips or tiles"),
    ("ppm-head", lambda: b"P6\n#" + b"c" * 100_000 + b"\n8 8 255\n" + bytes(192), "too long a header"),
    ("ppm-comments", lambda: b"P1\n8 8\n" + b"#\n" * 20_000 + b"1" * 64, "too many comments"),
    ("jp2-boxes", lambda: with_boxes(box(b"free", b"") * 20_000), "too many boxes"),
    ("jp2-header", lambda: with_boxes(b"", box(b"free", b"") * 20_000), "too many boxes"),
    ("jp2-nested", lambda: with_boxes(b"", box(b"res ", box(b"free", b"") * 20_000)), "too many boxes"),
    ("j2k-segments", lambda: with_segments(b"\xff\x64\0\2" * 20_000), "too many segments"),
    ("j2k-tiles", lambda: tiled(1), "too many tiles"),
    ("avif", lambda: encode(IMAGE, "AVIF", exif=directories(20_000, 600_000)), OVERLAP),
]


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS])
def test_metadata_without_bound(
    make: Callable[[], bytes], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget is checked before Pillow opens the file, and before raw files are detected."""
    data = make()

    def opened(*_: object, **__: object) -> None:
        pytest.fail("the file was opened")

    monkeypatch.setattr(Image, "open", opened)
    monkeypatch.setattr(tiff_pictures, "examine", opened)
    for read in (read_header, read_photo):
        with pytest.raises(InputError, match=rf"^x has {reason}, more than any picture needs: export"):
            read(data, "x")


def test_much_metadata_is_read() -> None:
    """Half a megabyte of valid EXIF in several segments, hundreds of other segments, thousands of chunks."""
    block = directories(1, 500_000)
    assert read_photo(split_exif(block), "x").metadata.exif == block
    assert read_photo(segments(*[b"FLIR\0" + bytes(65_000)] * 300), "x").width == IMAGE.width
    assert read_photo(PNG[:33] + png_chunk(b"teSt", b"") * 4_000 + PNG[33:], "x").width == IMAGE.width
    assert read_photo(gif_comment(40), "x").width == IMAGE.width
    assert (
        read_photo(with_boxes(box(b"uuid", b"1234") * 500, box(b"free", b"1234") * 500), "x").width
        == IMAGE.width
    )
    assert read_photo(with_segments(b"\xff\x64\0\4\0\1" * 1_000), "x").width == IMAGE.width


def test_blocks_that_begin_again_and_again() -> None:
    """Each start is passed once, not copied with all the following data."""
    tail = b"II*\0\x08\0\0\0" + bytes(8)
    block = b"Exif\0\0" * 1_000_000 + tail
    assert exif.orientation(block) == 1
    assert exif.cleaned(block) == tail


@pytest.mark.parametrize(
    ("packet", "cleaned"),
    [
        (b"<xmp:Thumbnails " * 300_000, None),
        (b"<xmp:Thumbnails>" * 300_000 + b"</xmp:Thumbnails>\n<end/>", b"<end/>"),
        (b"</xmp:Thumbnails>" * 300_000, None),
        (b"<a/><xmp:Thumbnails>x</xmp:Thumbnails> <b/><xmp:ThumbnailsX/>", b"<a/><b/><xmp:ThumbnailsX/>"),
        (b"<xmp:Thumbnails>x</xmp:Thumbnails><xmp:Thumbnails/>y</xmp:Thumbnails>z", b"z"),
    ],
)
def test_thumbnails_in_xmp(packet: bytes, cleaned: bytes | None) -> None:
    assert xmp.cleaned(packet) == (packet if cleaned is None else cleaned)


def sparse(path: Path, start: bytes, size: int) -> Path:
    path.write_bytes(start)
    os.truncate(path, size)
    return path


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF", "GIF", "BMP"])
def test_files_that_are_mostly_hole(tmp_path: Path, format_name: str) -> None:
    path = sparse(tmp_path / "x", encode(IMAGE, format_name), 1 << 30)
    for read in (read_header, read_photo):
        with pytest.raises(InputError, match=r"^x has 1024 MiB, more than the limit of \d+ MiB for"):
            read(path, "x")
    os.truncate(path, 100 << 30)
    for any_read in (read_header, read_photo, read_content):
        with pytest.raises(InputError, match=r"^x has \d+ bytes or more, too many for a picture of at most"):
            any_read(path, "x")


@pytest.mark.parametrize("offset", [1 << 20, 2**62, 2**63, 2**64 - 1])
def test_offsets_behind_the_end(tmp_path: Path, offset: int) -> None:
    """A BigTIFF may have impossible offsets."""
    entry = struct.pack("<HHQQ", 0x014A, 16, 2, offset)
    data = b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, 1) + entry + bytes(72)
    path = tmp_path / "x"
    path.write_bytes(data)
    for source in (data, path):
        for read in (read_header, read_photo):
            with pytest.raises(InputError, match=r"^x is a damaged, truncated or unsupported TIFF"):
                read(source, "x")


def test_scans_without_end() -> None:
    """Each scan of a progressive JPEG goes over all pixels; a hundred bytes of one are enough."""
    large = Image.new("L", (6000, 6000))
    data = encode(large, "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    again = data[:start] + data[start:-2] * 50 + b"\xff\xd9"
    with pytest.raises(InputError, match=r"^x has \d\d scans, too many for a picture of its size: export"):
        read_photo(again, "x")
    jpeg_scans.check_scans(again, 64 * 64, "x")


@pytest.mark.parametrize("length", [3, 1 << 40, (1 << 63) + 5])
@pytest.mark.parametrize("kind", [b"jp2h", b"uuid"])
def test_boxes_behind_the_end(tmp_path: Path, kind: bytes, length: int) -> None:
    """Pillow would allocate the memory for one at once."""
    path = tmp_path / "x"
    path.write_bytes(with_boxes(struct.pack(">L4sQ", 1, kind, length)))
    with pytest.raises(InputError, match=r"^x is damaged \(a box is cut off or missing\): copy"):
        read_header(path, "x")


def test_jpeg_2000_without_all_its_tiles() -> None:
    """The decoder silently leaves them black."""
    data = encode(IMAGE, "JPEG2000", no_jp2=True, tile_size=(8, 8))
    assert read_photo(data, "x").width == IMAGE.width
    starts = [found.start() for found in re.finditer(rb"\xff\x90\0\x0a", data)]
    for cut in (data[: starts[-1]], data[: starts[1]] + data[starts[2] :], data[: starts[0]], tiled(250)):
        with pytest.raises(InputError, match=r"^x is cut off before its end"):
            read_header(cut, "x")


def test_no_memory_for_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "asarray", none_left)
    with pytest.raises(OutOfMemoryError, match="x does not fit in memory"):
        read_photo(PNG, "x")


def test_no_memory_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise MemoryError

    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    monkeypatch.setattr("manet_cli.images.content._read_at_most", none_left)
    monkeypatch.setattr("manet_cli.images.raw_files.is_raw", none_left)
    for read in (read_content, read_header, read_photo):
        with pytest.raises(OutOfMemoryError, match=r"^x does not fit in memory"):
            read(path, "x")
