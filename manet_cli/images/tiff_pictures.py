"""Find the main picture in a TIFF file, among pages, previews, masks and sensor data.

A file has a chain of directories, each a picture, and more directories below each (SubIFDs). NewSubfileType
gives the role of a picture: a smaller copy of another, a page, a mask. Many camera raw files are TIFFs too,
often with a preview as their first picture.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from manet_cli.images import headers, tiff_structure
from manet_cli.images.tiff_structure import CorruptTagsError, Layout

__all__ = ["CorruptTagsError", "TiffPictures", "examine", "with_first", "with_named_alpha"]

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC = 256, 257, 259, 262
_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES = 273, 279, 324, 325
_SUB_DIRECTORIES, _JPEG, _DNG_VERSION = 330, 513, 50706
_SAMPLES, _EXTRA_SAMPLES = 277, 338
_READ = frozenset(
    (
        *(_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC),
        *(_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES, _SUB_DIRECTORIES, _JPEG, _DNG_VERSION),
        *(_SAMPLES, _EXTRA_SAMPLES),
    )
)
_UNSPECIFIED, _STRAIGHT_ALPHA = 0, 2
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_JPEG = 6
_SENSOR_PHOTOMETRICS = frozenset((32803, 34892))  # colour filter array, linear raw
# Sony, Epson, Samsung, Nikon, Kodak, Pentax
_SENSOR_COMPRESSIONS = frozenset((32767, 32769, 32770, 34713, 65000, 65535))
# Marks at the ninth byte, by Canon and Phase One.
_SENSOR_MARKS = re.compile(rb"CR\x02|IIII.waR|MMMMRaw", re.DOTALL)
_MOST_DIRECTORIES = 100
_MOST_VALUES = 100_000


@dataclass(frozen=True)
class _Directory:
    """One picture. `depth`: 0 in the chain, 1 below. `kind`: NewSubfileType; None if missing."""

    offset: int
    depth: int
    width: int
    height: int
    kind: int | None
    is_exif_thumbnail: bool
    is_sensor: bool
    is_whole: bool

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def is_full(self) -> bool:
        return not (self.is_exif_thumbnail or (self.kind or 0) & (_REDUCED | _MASK))

    def is_copy_of(self, other: _Directory) -> bool:
        """Whether this picture is at most half as large as the other, with the same aspect ratio."""
        across, down = 2 * self.width <= other.width, 2 * self.height <= other.height
        skew = abs(self.width * other.height - self.height * other.width)
        return across and down and skew <= max(other.width, other.height)


@dataclass(frozen=True)
class TiffPictures:
    """Content of a TIFF file.

    Attributes:
        main: offset of the directory of its main picture.
        is_first: whether the main picture is the first in the file.
        several: whether there are more such pictures (pages).
        guessed: whether another page counts as a small copy, although the file does not say so.
        is_raw: whether it is a camera raw file.
        is_whole: whether the sensor pictures' data are completely in the file.
        pixels: number of pixels of all pictures together.
    """

    main: int
    is_first: bool
    several: bool
    guessed: bool
    is_raw: bool
    is_whole: bool
    pixels: int


def examine(file: BinaryIO) -> TiffPictures:
    """Find the main picture of a TIFF file. Raises CorruptTagsError if the directories cannot be parsed."""
    file.seek(0)
    start = file.read(16)
    layout, first = tiff_structure.header(start)
    try:
        found = list(_directories(file, layout, first))
    except (struct.error, OverflowError, OSError, ValueError) as error:
        raise CorruptTagsError("its directories cannot be parsed") from error
    chain = [one for one in found if one.depth == 0]
    if not chain:
        raise CorruptTagsError("it has no directory")
    pages = [one for one in chain if one.is_full]
    copies = [page for page in pages[1:] if page.kind is None and page.area and page.is_copy_of(pages[0])]
    pages = [page for page in pages if page not in copies]
    main = pages[0] if pages else chain[0]
    below = [one for one in found if one.depth and one.is_full and one.area > main.area]
    if below and (len(pages) <= 1):
        main = max(below, key=lambda one: one.area)
    return TiffPictures(
        main=main.offset,
        is_first=main.offset == first,
        several=len(pages) > 1,
        guessed=bool(copies),
        is_raw=_SENSOR_MARKS.match(start, 8) is not None or any(one.is_sensor for one in found),
        is_whole=all(one.is_whole for one in found if one.is_sensor),
        pixels=sum(one.area for one in found),
    )


def with_named_alpha(file: BinaryIO, offset: int) -> bytes | None:
    """Return a copy of a TIFF file that declares its first extra channel, if undeclared, as alpha.

    `offset`: of the picture's directory. Returns None if the channel is declared or missing.
    """
    file.seek(0)
    layout, _ = tiff_structure.header(file.read(16))
    tags, _ = _tags(file, layout, offset)
    channels = {0: 1, 1: 1, 2: 3}.get(tags.get(_PHOTOMETRIC, (-1,))[0])
    kinds = tags.get(_EXTRA_SAMPLES, ())
    if channels is None or tags.get(_SAMPLES, (1,))[0] <= channels or not kinds or kinds[0] != _UNSPECIFIED:
        return None
    data = bytearray(headers.content_of(file))
    entries, _ = tiff_structure.directory(data, layout, offset)
    kind, _, value = tiff_structure.entry(data, layout, entries[_EXTRA_SAMPLES])
    start = entries[_EXTRA_SAMPLES] + struct.calcsize(layout.entry)
    if len(value) > layout.inline:
        (start,) = struct.unpack_from(layout.offset, data, start)
    form = tiff_structure.number_format(kind)
    struct.pack_into(f"{layout.order}{form}", data, start, _STRAIGHT_ALPHA)
    return bytes(data)


def with_first(data: bytes, offset: int) -> bytes:
    """Return a copy of a TIFF file whose first directory is at `offset`."""
    layout, _ = tiff_structure.header(data)
    start = layout.start(offset)
    return start + data[len(start) :]


def _directories(file: BinaryIO, layout: Layout, first: int) -> Iterator[_Directory]:
    """Yield the directories of the chain, and the directories below each."""
    seen = set[int]()
    offset = first
    while offset and offset not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(offset)
        tags, following = _tags(file, layout, offset)
        yield _picture(tags, offset, 0, file)
        for inner in tags.get(_SUB_DIRECTORIES, ()):
            if inner not in seen and len(seen) < _MOST_DIRECTORIES:
                seen.add(inner)
                yield _picture(_tags(file, layout, inner)[0], inner, 1, file)
        offset = following


def _picture(tags: dict[int, tuple[int, ...]], offset: int, depth: int, file: BinaryIO) -> _Directory:
    def number(tag: int) -> int:
        return tags.get(tag, (0,))[0]

    kind = number(_NEW_SUBFILE_TYPE) if _NEW_SUBFILE_TYPE in tags else None
    if kind is None and _SUBFILE_TYPE in tags:
        kind = _REDUCED if number(_SUBFILE_TYPE) == 2 else 0
    stored = _STRIPS in tags or _TILES in tags
    end = file.seek(0, os.SEEK_END)
    places = [
        *zip(tags.get(_STRIPS, ()), tags.get(_STRIP_SIZES, ()), strict=False),
        *zip(tags.get(_TILES, ()), tags.get(_TILE_SIZES, ()), strict=False),
    ]
    return _Directory(
        offset,
        depth,
        number(_WIDTH),
        number(_HEIGHT),
        kind,
        _JPEG in tags and not stored and number(_COMPRESSION) in (0, _OLD_JPEG),
        _DNG_VERSION in tags
        or number(_PHOTOMETRIC) in _SENSOR_PHOTOMETRICS
        or number(_COMPRESSION) in _SENSOR_COMPRESSIONS,
        all(place + size <= end for place, size in places),
    )


def _tags(file: BinaryIO, layout: Layout, offset: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the numbers of the relevant tags, and the offset of the next directory; 0 for none."""
    file.seek(offset)
    (count,) = struct.unpack(layout.count, file.read(struct.calcsize(layout.count)))
    if count > _MOST_VALUES:
        raise CorruptTagsError("a directory has too many entries")
    size = struct.calcsize(layout.entry) + layout.inline
    table = file.read(size * count)
    if len(table) != size * count:
        raise CorruptTagsError("a directory is outside the data")
    rest = file.read(struct.calcsize(layout.offset))
    (following,) = struct.unpack(layout.offset, rest)
    found: dict[int, tuple[int, ...]] = {}
    for position in range(0, len(table), size):
        (tag,) = struct.unpack_from(layout.order + "H", table, position)
        if tag in _READ and tag not in found:
            values = _numbers(file, layout, table, position)
            if values:
                found[tag] = values
    return found, following


def _numbers(file: BinaryIO, layout: Layout, table: bytes, position: int) -> tuple[int, ...]:
    """Return the numbers of an entry; none if it has another type or is too long."""
    _, kind, count = struct.unpack_from(layout.entry, table, position)
    form = tiff_structure.number_format(kind)
    if form is None or not 0 < count <= _MOST_VALUES:
        return ()
    length = struct.calcsize(layout.order + form) * count
    start = position + struct.calcsize(layout.entry)
    value = table[start : start + length]
    if length > layout.inline:
        file.seek(struct.unpack_from(layout.offset, table, start)[0])
        value = file.read(length)
    return struct.unpack(f"{layout.order}{count}{form}", value) if len(value) == length else ()
