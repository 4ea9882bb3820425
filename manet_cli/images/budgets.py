"""Budgets for a picture file's metadata, checked on its structure before decoding.

Sizes and counts are found by parsing the file like Pillow, without storing its content. A budget is far above
the files of cameras and editors: a picture beyond it was made to exhaust time or memory.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from manet_cli.errors import InputError
from manet_cli.images import jpeg2000
from manet_cli.images.files import most_bytes

__all__ = ["RAW", "check_metadata", "check_size"]

RAW = "camera raw"
"""The kind of camera raw files; only TIFF-based ones state their number of pixels."""

_LATE = frozenset(("WebP", "AVIF", "HEIC", "JPEG XL", RAW))
_MOST_LATE = 256 << 20  # bytes of a file that is read completely before its size in pixels is known

_MOST_PARTS = 10_000  # segments, chunks, boxes or entries; one more for each _PART_BYTES of the file
_PART_BYTES = 64
_MOST_HEAD = 64 << 20  # bytes before the pixels of a JPEG
_MOST_JUNK = 1 << 16  # bytes between two segments of a JPEG
_MOST_COPIED = 256 << 20  # bytes copied by joining the parts of one block
_MOST_PPM_HEAD = 1 << 16
_MOST_COMMENTS = 1_000
_AT_ONCE = 1 << 20
_MOST_PREFIXES = 4
_MOST_TILES = 1 << 14  # JPEG 2000; its decoder takes 11 kB per tile, even for a missing one
_SHARED = 1 << 20  # bytes of values that may overlap
_MOST_BLOCKS = 256  # starts of EXIF in a file whose boxes are not parsed

_EXIF_PREFIX = re.compile(rb"(?:Exif\0\0)*")
_TIFF_START = re.compile(rb"II\*\0|MM\0\*")
_PLACES = frozenset((0x0111, 0x0144))  # offsets of the strips or tiles; Pillow decodes each separately
_POINTERS = frozenset((0x014A, 0x8769, 0x8825, 0xA005))  # SubIFDs, Exif, GPS, interoperability
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_VALUE_BYTES |= {16: 8, 17: 8, 18: 8}
_BARE_MARKERS = frozenset((0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)))  # without a length
_APP1, _SCAN = 0xE1, 0xDA
_BOXES_OF_BOXES = frozenset((b"jp2h", b"res "))  # JPEG 2000 boxes that contain boxes, parsed by Pillow


class _OverBudgetError(ValueError):
    """The file exceeds the budget of a picture."""


def check_size(file: BinaryIO, kind: str | None, name: str, pixels: int | None = None) -> None:
    """Raise InputError for a file with more bytes than its picture can need.

    `kind`: kind of the file, from `headers.kind_of`, or RAW. `name`: name of the file in messages. `pixels`:
    number of pixels that the file claims; None if not known yet.
    """
    if pixels is None and kind not in _LATE:
        return
    most = _MOST_LATE if pixels is None else most_bytes(pixels)
    size = file.seek(0, os.SEEK_END)
    if size > most:
        raise InputError(
            f"{name} has {size >> 20} MiB, more than the limit of {most >> 20} MiB for such a file: "
            "export the picture again"
        )


def check_metadata(file: BinaryIO, kind: str | None, name: str) -> None:
    """Raise InputError for a file whose metadata would take more than linear time or memory.

    The arguments are as in `check_size`. Damaged files are left to the decoder.
    """
    charge = {
        "JPEG": _charge_jpeg,
        "PNG": _charge_png,
        "GIF": _charge_gif,
        "PPM": _charge_ppm,
        "TIFF": _charge_directories,
        "AVIF": _charge_boxes,
        "HEIC": _charge_boxes,
        "JPEG XL": _charge_boxes,
        "JPEG 2000": _charge_jpeg2000,
    }.get(kind or "")
    if charge is None:
        return
    file.seek(0)
    try:
        charge(file)
    except _OverBudgetError as error:
        raise InputError(
            f"{name} has {error}, more than any picture needs: export the picture without its metadata"
        ) from error
    except struct.error:  # truncated
        return


class _Parts:
    """Counts the parts of a file and limits their number by the file's size."""

    def __init__(self, size: int, what: str) -> None:
        self._left = _MOST_PARTS + size // _PART_BYTES
        self._what = what

    def take(self, number: int = 1) -> None:
        self._left -= number
        if self._left < 0:
            raise _OverBudgetError(f"too many {self._what}")


def _charge_png(file: BinaryIO) -> None:
    end = file.seek(0, os.SEEK_END)
    parts, position = _Parts(end, "chunks"), 8
    while position + 12 <= end:
        file.seek(position)
        length, kind = struct.unpack(">L4s", file.read(8))
        if kind == b"IEND":
            return
        parts.take()
        position += 12 + length


def _charge_gif(file: BinaryIO) -> None:
    """Check the blocks up to the second picture; Pillow joins the blocks of a comment one by one."""
    parts, copied = _Parts(file.seek(0, os.SEEK_END), "blocks"), 0
    file.seek(10)
    flags, *_ = struct.unpack("B2x", file.read(3))
    file.seek(3 << (flags & 7) + 1 if flags & 0x80 else 0, os.SEEK_CUR)
    pictures = 0
    while (kind := file.read(1)) in (b",", b"!") and pictures < 2:
        if kind == b",":
            pictures += 1
            flags, *_ = struct.unpack("8xB", file.read(9))
            file.seek(3 << (flags & 7) + 1 if flags & 0x80 else 0, os.SEEK_CUR)
        file.seek(1, os.SEEK_CUR)
        joined = 0
        while length := sum(file.read(1)):
            parts.take()
            file.seek(length, os.SEEK_CUR)
            joined += length
            copied += joined if kind == b"!" else 0
            if copied > _MOST_COPIED:
                raise _OverBudgetError("comments in too many blocks")


def _charge_ppm(file: BinaryIO) -> None:
    """Check the comments, which Pillow removes from a block of text one by one."""
    head, comments = file.read(_MOST_PPM_HEAD), 0
    fields = 3 if head[1:2] in b"14" else 4
    if len(re.sub(rb"#[^\r\n]*", b" ", head).split()) < fields and file.read(1):
        raise _OverBudgetError("too long a header")
    if head[1:2] not in b"123":
        return
    file.seek(0)
    while block := file.read(_AT_ONCE):
        comments += block.count(b"#")
        if comments > _MOST_COMMENTS:
            raise _OverBudgetError("too many comments")


def _charge_jpeg(file: BinaryIO) -> None:
    head = file.read(_MOST_HEAD)
    parts, exif = _Parts(0, "segments"), list[bytes]()
    for marker, segment in _jpeg_segments(head):
        parts.take()
        if marker == _APP1 and segment.startswith(b"Exif\0\0"):
            exif.append(bytes(segment[6:]))
    # Pillow joins them, and copies all previous ones with each segment.
    if sum(itertools.accumulate(map(len, exif))) > _MOST_COPIED:
        raise _OverBudgetError("EXIF in too many segments")
    if exif:
        _charge_exif(b"".join(exif))


def _jpeg_segments(head: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of the segments before the pixels, as leniently as Pillow."""
    position = 2
    while True:
        start = head.find(b"\xff", position)
        if (len(head) if start < 0 else start) - position > _MOST_JUNK:
            raise _OverBudgetError("too many bytes between its segments")
        if start < 0 or start + 4 > len(head):
            return
        marker = head[start + 1]
        if marker == _SCAN:
            return
        if marker in (0, 0xFF) or marker in _BARE_MARKERS:
            yield marker, b""
            position = start + (1 if marker == 0xFF else 2)
            continue
        (length,) = struct.unpack_from(">H", head, start + 2)
        yield marker, head[start + 4 : start + 2 + length]
        position = start + 2 + max(length, 2)


def _charge_boxes(file: BinaryIO) -> None:
    """Check the boxes of a file, and everything that looks like EXIF: the libraries parse it on opening."""
    end = file.seek(0, os.SEEK_END)
    parts, position = _Parts(0, "boxes"), 0
    while position + 8 <= end:
        file.seek(position)
        (length,) = struct.unpack(">L", file.read(4))
        parts.take()
        if length == 1:
            file.seek(position + 8)
            (length,) = struct.unpack(">Q", file.read(8))
        if length < 8:
            break
        position += length
    file.seek(0)
    data = file.read()
    for number, found in enumerate(_TIFF_START.finditer(data)):
        if number == _MOST_BLOCKS:
            raise _OverBudgetError("too many blocks of EXIF")
        _charge_exif(data[found.start() :])


def _charge_jpeg2000(file: BinaryIO) -> None:
    """Check the boxes, also inside the header, then the tiles and the segments."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    found, waiting = _Parts(0, "boxes"), [(0, end)]
    if file.read(len(jpeg2000.CODESTREAM)) == jpeg2000.CODESTREAM:
        waiting.clear()
    while waiting:
        for kind, first, last in jpeg2000.boxes(file, *waiting.pop()):
            found.take()
            if kind in _BOXES_OF_BOXES:
                waiting.append((first, last))
    try:
        if jpeg2000.facts_of(file).tiles > _MOST_TILES:
            raise _OverBudgetError("too many tiles")
        segments = _Parts(end, "segments")
        for _ in jpeg2000.segments(file):
            segments.take()
    except _OverBudgetError:
        raise
    except ValueError:  # damaged
        return


def _charge_exif(block: bytes) -> None:
    prefixes = _EXIF_PREFIX.match(block)
    start = prefixes.end() if prefixes else 0
    if start > _MOST_PREFIXES * 6:
        raise _OverBudgetError("too many starts of EXIF")
    _charge_directories(io.BytesIO(block[start:]))


def _charge_directories(file: BinaryIO) -> None:
    """Check all directories of a TIFF file, or of an EXIF block, as leniently as Pillow.

    Pillow reads overlapping values again for each tag.
    """
    start = file.read(16).ljust(16, b"\0")
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None:
        return
    size = file.seek(0, os.SEEK_END)
    big = 43 in start[2:4]
    (first,) = struct.unpack_from(order + ("Q" if big else "L"), start, 8 if big else 4)
    parts, stored, left = _Parts(0, "tags"), _Parts(size, "strips or tiles"), size + _SHARED
    waiting, seen = [first], set[int]()
    while waiting:
        offset = waiting.pop()
        if offset in seen or not 0 < offset < size:
            continue
        seen.add(offset)
        for tag, length, value in _entries(file, order, offset, big=big):
            parts.take()
            if tag in _PLACES:
                stored.take(length // 4)
            left -= min(length, max(size - value, 0))
            if left < 0:
                raise _OverBudgetError("tags with overlapping values")
            if value < size and (tag is None or tag in _POINTERS):
                waiting += _offsets(file, order, value, length, big=big)


def _entries(file: BinaryIO, order: str, offset: int, *, big: bool) -> Iterator[tuple[int | None, int, int]]:
    """Yield tag, size and position of each value of a directory, then of the next directory's offset."""
    form, inline = order + ("HHQ" if big else "HHL"), 8 if big else 4
    file.seek(offset)
    (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
    position, step = offset + (8 if big else 2), struct.calcsize(form) + inline
    for _ in range(count):
        file.seek(position)
        if len(entry := file.read(step)) < step:
            return
        tag, kind, values = struct.unpack_from(form, entry)
        length, value = _VALUE_BYTES.get(kind, 0) * values, position + step - inline
        if length > inline:
            (value,) = struct.unpack_from(order + ("Q" if big else "L"), entry, step - inline)
        yield tag, length, value
        position += step
    yield None, inline, position


def _offsets(file: BinaryIO, order: str, position: int, length: int, *, big: bool) -> Iterator[int]:
    """Yield the offsets in a value, classic or BigTIFF."""
    unit = 8 if big else 4
    file.seek(position)
    data = file.read(min(length, _MOST_PARTS * unit))
    for (offset,) in struct.iter_unpack(order + ("Q" if big else "L"), data[: len(data) // unit * unit]):
        yield offset
