r"""Edit EXIF byte by byte; everything else, with its offsets, stays as the camera wrote it.

An EXIF block is a small TIFF file: 8 bytes of header (`II*\0` or `MM\0*`, the offset of the first directory),
then directories. A directory is a count, 12 bytes per entry (tag, type, count, value or its offset), and the
offset of the next directory. All offsets count from the first byte of the block. Values that contain offsets,
such as MakerNote, are readable only if they are not moved. So entries are changed in place, and a directory
that must grow is rewritten at the end, while its values stay.

EXIF must move only for TIFF files: `from_tiff` and `descriptive_entries` copy directories with their values.
"""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Callable
from fractions import Fraction

from manet_cli.images.tiff_structure import (
    ASCII,
    LONG,
    RATIONAL,
    SHORT,
    CorruptTagsError,
    Layout,
    directory,
    entry,
    first_number,
    following,
    header,
    little_endian,
    number,
    pack_directory,
    placed_entry,
    value_size,
)

__all__ = [
    "CorruptTagsError",
    "cleaned",
    "descriptive_entries",
    "from_tiff",
    "history",
    "orientation",
    "with_history",
    "with_size",
    "without_orientation",
]

_log = logging.getLogger(__name__)

_PREFIXES = re.compile(rb"(?:Exif\0\0)*")

_IMAGE_WIDTH, _IMAGE_LENGTH = 0x0100, 0x0101
_ORIENTATION = 0x0112
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_EXIF_DIRECTORY, _GPS_DIRECTORY, _INTEROPERABILITY_DIRECTORY = 0x8769, 0x8825, 0xA005
_IMAGE_HISTORY = 0x9213
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003
_FOCAL_PLANE = (0xA20E, 0xA20F)  # resolutions across and down
_SUBJECT = (0x9214, 0xA214)  # SubjectArea (x, y and a diameter or two sides) and SubjectLocation

# Tags of a TIFF's first directory that describe the picture, not the storage of its pixels:
# ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Rating (2), Copyright,
# ImageHistory, Windows' XP tags (5), PrintImageMatching, and the two directories.
_DESCRIPTIVE = frozenset(
    (
        *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298, _IMAGE_HISTORY),
        *(0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F, 0xC4A5, _EXIF_DIRECTORY, _GPS_DIRECTORY),
    )
)
_FIRST_DIRECTORY = -1  # not a tag: 0 is a tag of the GPS directory
_BLOCK = Layout("<")  # layout of new blocks
_CHILDREN: dict[int, frozenset[int]] = {
    _FIRST_DIRECTORY: frozenset((_EXIF_DIRECTORY, _GPS_DIRECTORY)),
    _EXIF_DIRECTORY: frozenset((_INTEROPERABILITY_DIRECTORY,)),
    _GPS_DIRECTORY: frozenset(),
    _INTEROPERABILITY_DIRECTORY: frozenset(),
}


def cleaned(raw: bytes, turn: int = 1) -> bytes:
    r"""Clean a block just read: remove a leading `Exif\0\0` and the thumbnail, set the orientation to 1.

    `turn`: the orientation, 1..8, that was applied to the pixels: focal plane resolutions are swapped if
    needed, and the place of the subject is removed. An unreadable orientation stays unchanged. Raises
    CorruptTagsError.
    """
    block = bytearray(_unprefixed(raw))
    layout, first = _header(block)
    entries, next_position = directory(block, layout, first)
    if _ORIENTATION in entries and _orientation(block, layout, entries) is not None:
        _set(block, layout, entries[_ORIENTATION], SHORT, 1)
    if _EXIF_DIRECTORY in entries:
        inner = number(block, layout, entries[_EXIF_DIRECTORY])
        found, _ = directory(block, layout, inner)
        if turn != 1:
            _remove(block, layout, inner, _SUBJECT)
        if turn >= 5:
            found, _ = directory(block, layout, inner)
            _swap(block, layout, [found[tag] for tag in _FOCAL_PLANE if tag in found])
    _drop_thumbnail(block, layout, next_position)
    return bytes(block)


def orientation(raw: bytes) -> int:
    """Return the orientation of a block, 1..8; 1 if it has none. Raises CorruptTagsError."""
    raw = _unprefixed(raw)
    layout, first = _header(raw)
    entries, _ = directory(raw, layout, first, whole=False)
    value = _orientation(raw, layout, entries)
    return value if value is not None and 1 <= value <= 8 else 1


def _orientation(raw: bytes | bytearray, layout: Layout, entries: dict[int, int]) -> int | None:
    """Return the value of the orientation tag; None if it is missing or unreadable."""
    try:
        return first_number(raw, layout, entries[_ORIENTATION])
    except (KeyError, CorruptTagsError):
        return None


def with_size(block: bytes, width: int, height: int, size: tuple[int, int]) -> bytes:
    """Return the block with its size tags set to this size. Raises CorruptTagsError.

    `size`: width and height to which the block's other pixel values refer (focal plane resolutions, place of
    the subject); they are scaled from it.
    """
    edited = bytearray(block)
    layout, first = _header(edited)
    entries, _ = directory(edited, layout, first)
    sizes = {_IMAGE_WIDTH: width, _IMAGE_LENGTH: height, _PIXEL_X: width, _PIXEL_Y: height}
    if _EXIF_DIRECTORY in entries:
        offset = number(edited, layout, entries[_EXIF_DIRECTORY])
        if (width, height) != size:
            _scale_places(edited, layout, offset, (width, size[0]), (height, size[1]))
        inner, _ = directory(edited, layout, offset)
        entries = inner | entries
    for tag, value in sizes.items():
        if tag in entries:
            _set(edited, layout, entries[tag], LONG, value)
    return bytes(edited)


def _scale_places(
    block: bytearray, layout: Layout, offset: int, across: tuple[int, int], down: tuple[int, int]
) -> None:
    """Scale pixel values in the Exif directory; `across`, `down`: new and old size. Remove invalid values."""
    found, _ = directory(block, layout, offset)
    for tag, (new, old) in zip(_FOCAL_PLANE, (across, down), strict=True):
        if tag not in found:
            continue
        try:
            kind, _, value = entry(block, layout, found[tag])
            upper, lower = struct.unpack(layout.order + "LL", value) if kind == RATIONAL else (0, 0)
            resolution = Fraction(upper * new, lower * old)
        except (CorruptTagsError, struct.error, ZeroDivisionError):
            continue  # not a valid number
        resolution = resolution.limit_denominator(10**6)
        resolution = Fraction(min(resolution.numerator, 2**32 - 1), resolution.denominator)
        place = _appender(block)(struct.pack(layout.order + "LL", *resolution.as_integer_ratio()))
        struct.pack_into(layout.order + "L", block, found[tag] + 8, place)
    odd = list[int]()
    for tag in _SUBJECT:
        if tag not in found:
            continue
        try:
            kind, count, value = entry(block, layout, found[tag])
            old_numbers = struct.unpack(f"{layout.order}{count}H", value) if kind == SHORT else ()
            factors = (across, down, across, down)
            numbers = [round(one * new / old) for one, (new, old) in zip(old_numbers, factors, strict=False)]
            data = struct.pack(f"{layout.order}{count}H", *numbers)
        except (CorruptTagsError, struct.error):
            odd.append(tag)
            continue
        stored = data if len(data) <= 4 else struct.pack(layout.order + "L", _appender(block)(data))
        start = found[tag] + 8
        block[start : start + len(stored)] = stored
    _remove(block, layout, offset, tuple(odd))


def _remove(block: bytearray, layout: Layout, offset: int, tags: tuple[int, ...]) -> None:
    """Remove entries from the directory at `offset`, in place."""
    for tag in tags:
        entries, next_position = directory(block, layout, offset)
        if tag in entries:
            position, end = entries[tag], next_position + 4
            block[position:end] = block[position + 12 : end] + bytes(12)
            (count,) = struct.unpack_from(layout.count, block, offset)
            struct.pack_into(layout.count, block, offset, count - 1)


def _swap(block: bytearray, layout: Layout, positions: list[int]) -> None:
    """Swap the values of two entries of the same type."""
    if len(positions) == 2:
        first, second = positions
        block[first + 2 : first + 12], block[second + 2 : second + 12] = (
            block[second + 2 : second + 12],
            block[first + 2 : first + 12],
        )


def without_orientation(block: bytes) -> bytes:
    """Return the block without its orientation tag, in place. Raises CorruptTagsError."""
    edited = bytearray(block)
    layout, first = _header(edited)
    _remove(edited, layout, first, (_ORIENTATION,))
    return bytes(edited)


def history(block: bytes) -> str | None:
    """Return the ImageHistory text of a block; None if it has none. Raises CorruptTagsError."""
    layout, first = _header(block)
    entries, _ = directory(block, layout, first)
    if _IMAGE_HISTORY not in entries:
        return None
    _, _, value = entry(block, layout, entries[_IMAGE_HISTORY])
    return value.rstrip(b"\0").decode("ascii", "replace")


def with_history(block: bytes | None, text: str) -> bytes:
    """Return the block, or a new one, with `text` (ASCII) as its ImageHistory. Raises CorruptTagsError."""
    edited = bytearray(block or _BLOCK.start(0))
    layout, kept, next_directory = _BLOCK, dict[int, bytes](), 0
    if block is not None:
        layout, first = _header(edited)
        entries, next_position = directory(edited, layout, first)
        kept = {tag: bytes(edited[position : position + 12]) for tag, position in entries.items()}
        next_directory = following(edited, layout, next_position)
    value = text.encode("ascii") + b"\0"
    kept[_IMAGE_HISTORY] = placed_entry(layout, _IMAGE_HISTORY, (ASCII, len(value), value), _appender(edited))
    _append_first_directory(edited, layout, kept, next_directory)
    return bytes(edited)


def from_tiff(data: bytes) -> bytes | None:
    """Return the descriptive tags of a TIFF file's first directory as a block; None if it has none.

    `data`: the whole file. Raises CorruptTagsError if it cannot be parsed.
    """
    layout, first = header(data)
    block = bytearray(_BLOCK.start(0))
    entries = _copied(data, layout, first, _appender(block), _BLOCK)
    if not entries:
        return None
    _append_first_directory(block, _BLOCK, entries, 0)
    return bytes(block)


def descriptive_entries(block: bytes, append: Callable[[bytes], int], layout: Layout) -> dict[int, bytes]:
    """Return the descriptive tags of `block` as entries for the first directory of a TIFF file.

    `append`: writes values that do not fit into an entry to the file and returns their offset, which is even.
    `layout`: layout of the file, little-endian. Raises CorruptTagsError.
    """
    return _copied(block, *_header(block), append, layout)


def _unprefixed(raw: bytes) -> bytes:
    found = _PREFIXES.match(raw)
    return raw[found.end() :] if found else raw


def _header(block: bytes | bytearray) -> tuple[Layout, int]:
    layout, first = header(block)
    if layout.big:
        raise CorruptTagsError("EXIF cannot be a BigTIFF")
    return layout, first


def _set(block: bytearray, layout: Layout, position: int, kind: int, value: int) -> None:
    """Set the entry at `position` to one SHORT or LONG."""
    form = layout.order + ("HLHxx" if kind == SHORT else "HLL")
    struct.pack_into(form, block, position + 2, kind, 1, value)


def _drop_thumbnail(block: bytearray, layout: Layout, next_position: int) -> None:
    """Unlink the second directory and blank its JPEG; at the end of the block, cut the JPEG off."""
    second = following(block, layout, next_position)
    if second == 0:
        return
    struct.pack_into(layout.offset, block, next_position, 0)
    try:
        entries, end = directory(block, layout, second)
        start = number(block, layout, entries[_THUMBNAIL_OFFSET])
        stop = start + number(block, layout, entries[_THUMBNAIL_LENGTH])
    except (CorruptTagsError, KeyError):
        return
    if end <= start < stop <= len(block):
        block[start:stop] = bytes(stop - start)
        if stop == len(block):
            del block[start:]


def _appender(target: bytearray) -> Callable[[bytes], int]:
    """Return a function that appends to `target` at an even offset and returns the offset."""

    def append(data: bytes) -> int:
        target.extend(bytes(len(target) % 2))
        target.extend(data)
        return len(target) - len(data)

    return append


def _append_first_directory(
    target: bytearray, layout: Layout, entries: dict[int, bytes], next_directory: int
) -> None:
    offset = _appender(target)(pack_directory(layout, entries, next_directory))
    struct.pack_into(layout.offset, target, 4, offset)


def _copied(
    source: bytes,
    layout: Layout,
    offset: int,
    append: Callable[[bytes], int],
    target: Layout,
    parent: int = _FIRST_DIRECTORY,
) -> dict[int, bytes]:
    """Append the values and inner directories of a directory; return its entries for `target`.

    `parent`: the tag that points to the directory. Unreadable entries are left out.
    """
    found, _ = directory(source, layout, offset)
    copied: dict[int, bytes] = {}
    room = len(source)  # limits the growth from overlapping values
    for tag, position in found.items():
        if parent == _FIRST_DIRECTORY and tag not in _DESCRIPTIVE:
            continue
        try:
            if tag in _CHILDREN[parent]:
                inner = number(source, layout, position)
                children = _copied(source, layout, inner, append, target, tag)
                place = append(pack_directory(target, children))
                kind, count, value = target.offset_type, 1, struct.pack(target.offset, place)
            elif tag in _CHILDREN:
                raise CorruptTagsError("the directory does not belong here")
            else:
                room -= value_size(source, layout, position)  # before reading
                if room < 0:
                    raise CorruptTagsError("its values overlap")
                kind, count, value = entry(source, layout, position)
                value = little_endian(value, layout.order, kind)
            copied[tag] = placed_entry(target, tag, (kind, count, value), append)
        except CorruptTagsError as error:
            _log.info("EXIF tag %#06x is left out: %s", tag, error)
    return copied
