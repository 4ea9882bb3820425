r"""EXIF edited byte by byte, so that what is not touched stays as the camera wrote it, offsets included.

An EXIF block is a small TIFF file: 8 bytes of header (`II*\0` or `MM\0*`, the offset of the first directory),
then directories. A directory is a count, 12 bytes per entry (tag, type, count, value or its offset), and the
offset of the next directory. All offsets count from the first byte of the block. Values with an offset of
their own inside, such as MakerNote, only stay readable if they stay in place: so entries are changed where
they are, and a directory that has to grow is written anew at the end, its values left where they were.

Only a TIFF file needs its EXIF moved: `from_tiff` and `into_tiff` copy the directories with their values.
"""

from __future__ import annotations

import logging
import struct

__all__ = [
    "CorruptExifError",
    "cleaned",
    "from_tiff",
    "history",
    "into_tiff",
    "orientation",
    "with_history",
    "with_size",
    "without_orientation",
]

_log = logging.getLogger(__name__)

_IMAGE_WIDTH, _IMAGE_LENGTH = 0x0100, 0x0101
_ORIENTATION = 0x0112
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_EXIF_DIRECTORY, _GPS_DIRECTORY, _INTEROPERABILITY_DIRECTORY = 0x8769, 0x8825, 0xA005
_IMAGE_HISTORY = 0x9213
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003

# Tags of a TIFF's first directory that describe the picture instead of how its pixels are stored:
# ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Rating (2), Copyright,
# ImageHistory, Windows' XP tags (5), PrintImageMatching, and the two directories.
_DESCRIPTIVE = frozenset(
    (
        *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298, _IMAGE_HISTORY),
        *(0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F, 0xC4A5, _EXIF_DIRECTORY, _GPS_DIRECTORY),
    )
)
_FIRST_DIRECTORY = 0
_CHILDREN: dict[int, frozenset[int]] = {
    _FIRST_DIRECTORY: frozenset((_EXIF_DIRECTORY, _GPS_DIRECTORY)),
    _EXIF_DIRECTORY: frozenset((_INTEROPERABILITY_DIRECTORY,)),
    _GPS_DIRECTORY: frozenset(),
    _INTEROPERABILITY_DIRECTORY: frozenset(),
}

_ASCII, _SHORT, _LONG = 2, 3, 4
# type: (bytes of one value, bytes that swap together between byte orders)
_TYPES = {
    1: (1, 1),
    2: (1, 1),
    3: (2, 2),
    4: (4, 4),
    5: (8, 4),
    6: (1, 1),
    7: (1, 1),
    8: (2, 2),
    9: (4, 4),
    10: (8, 4),
    11: (4, 4),
    12: (8, 8),
    13: (4, 4),
}


class CorruptExifError(ValueError):
    """The block cannot be followed; whoever catches it drops the EXIF, never the picture."""


def cleaned(raw: bytes) -> bytes:
    r"""Give the block of a file just read: any `Exif\0\0` before it removed, orientation 1, no thumbnail.

    Raises CorruptExifError.
    """
    while raw.startswith(b"Exif\0\0"):
        raw = raw[6:]
    block = bytearray(raw)
    order, first = _header(block)
    entries, next_position = _directory(block, order, first)
    if _ORIENTATION in entries:
        _set(block, order, entries[_ORIENTATION], _SHORT, 1)
    if _EXIF_DIRECTORY in entries:
        _directory(block, order, _number(block, order, entries[_EXIF_DIRECTORY]))
    _drop_thumbnail(block, order, next_position)
    return bytes(block)


def orientation(raw: bytes) -> int:
    """Give the orientation, 1..8, that a block asks for; 1 if it does not say. Raises CorruptExifError."""
    while raw.startswith(b"Exif\0\0"):
        raw = raw[6:]
    order, first = _header(raw)
    entries, _ = _directory(raw, order, first)
    if _ORIENTATION not in entries:
        return 1
    value = _number(raw, order, entries[_ORIENTATION])
    return value if value in range(1, 9) else 1


def with_size(block: bytes, width: int, height: int) -> bytes:
    """Give the block with the size tags that it has set to these pixels. Raises CorruptExifError."""
    edited = bytearray(block)
    order, first = _header(edited)
    entries, _ = _directory(edited, order, first)
    sizes = {_IMAGE_WIDTH: width, _IMAGE_LENGTH: height, _PIXEL_X: width, _PIXEL_Y: height}
    if _EXIF_DIRECTORY in entries:
        inner, _ = _directory(edited, order, _number(edited, order, entries[_EXIF_DIRECTORY]))
        entries = inner | entries
    for tag, value in sizes.items():
        if tag in entries:
            _set(edited, order, entries[tag], _LONG, value)
    return bytes(edited)


def without_orientation(block: bytes) -> bytes:
    """Give the block without its orientation tag, in place. Raises CorruptExifError."""
    edited = bytearray(block)
    order, first = _header(edited)
    entries, next_position = _directory(edited, order, first)
    if _ORIENTATION in entries:
        position, end = entries[_ORIENTATION], next_position + 4
        edited[position:end] = edited[position + 12 : end] + bytes(12)
        (count,) = struct.unpack_from(order + "H", edited, first)
        struct.pack_into(order + "H", edited, first, count - 1)
    return bytes(edited)


def history(block: bytes) -> str | None:
    """Give the ImageHistory text of a block, None if it has none. Raises CorruptExifError."""
    order, first = _header(block)
    entries, _ = _directory(block, order, first)
    if _IMAGE_HISTORY not in entries:
        return None
    _, _, value = _entry(block, order, entries[_IMAGE_HISTORY])
    return value.rstrip(b"\0").decode("ascii", "replace")


def with_history(block: bytes | None, text: str) -> bytes:
    """Give the block, or a new one, with `text` (ASCII) as its ImageHistory. Raises CorruptExifError."""
    edited = bytearray(block or _empty())
    order, first = _header(edited)
    kept: dict[int, bytes] = {}
    following = 0
    if block is not None:
        entries, next_position = _directory(edited, order, first)
        kept = {tag: bytes(edited[position : position + 12]) for tag, position in entries.items()}
        (following,) = struct.unpack_from(order + "L", edited, next_position)
    value = text.encode("ascii") + b"\0"
    kept[_IMAGE_HISTORY] = _append_value(edited, order, _IMAGE_HISTORY, _ASCII, len(value), value)
    _append_first_directory(edited, order, kept, following)
    return bytes(edited)


def from_tiff(data: bytes) -> bytes | None:
    """Give the descriptive tags of a TIFF file's first directory as a block; None if it has none.

    `data`: the whole file; a BigTIFF raises CorruptExifError, as does a file that cannot be followed.
    """
    order, first = _header(data)
    block = _empty()
    entries = _copy_directory(data, order, first, block)
    if not entries:
        return None
    _append_first_directory(block, "<", entries, 0)
    return bytes(block)


def into_tiff(file: bytes, block: bytes) -> bytes:
    """Give the TIFF `file` (little-endian, one picture) with the descriptive tags of `block` added.

    Tags that the file has already stay as they are. Raises CorruptExifError.
    """
    order, first = _header(file)
    edited = bytearray(file)
    present, _ = _directory(file, order, first)
    kept = {tag: file[position : position + 12] for tag, position in present.items()}
    added = _copy_directory(block, *_header(block), edited)
    _append_first_directory(edited, order, added | kept, 0)
    return bytes(edited)


def _empty() -> bytearray:
    return bytearray(b"II*\0\0\0\0\0")


def _header(block: bytes | bytearray) -> tuple[str, int]:
    """Give the byte order, as `struct` spells it, and the offset of the first directory."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None or len(block) < 8:
        raise CorruptExifError("it does not begin as EXIF does")
    (first,) = struct.unpack_from(order + "L", block, 4)
    return order, first


def _directory(block: bytes | bytearray, order: str, offset: int) -> tuple[dict[int, int], int]:
    """Give where the entry of each tag lies, and where the offset of the next directory lies."""
    try:
        (count,) = struct.unpack_from(order + "H", block, offset)
        positions = range(offset + 2, offset + 2 + 12 * count, 12)
        tags = [struct.unpack_from(order + "H", block, position)[0] for position in positions]
    except struct.error as error:
        raise CorruptExifError("a directory lies outside of it") from error
    end = offset + 2 + 12 * count
    if end + 4 > len(block):
        raise CorruptExifError("a directory lies outside of it")
    entries: dict[int, int] = {}
    for tag, position in zip(tags, positions, strict=True):
        entries.setdefault(tag, position)
    return entries, end


def _entry(block: bytes | bytearray, order: str, position: int) -> tuple[int, int, bytes]:
    """Give type, count and the bytes of the value."""
    kind, count = struct.unpack_from(order + "HL", block, position + 2)
    size = _TYPES.get(kind, (0, 0))[0] * count
    (start,) = (position + 8,) if size <= 4 else struct.unpack_from(order + "L", block, position + 8)
    value = bytes(block[start : start + size])
    if kind not in _TYPES or len(value) != size:
        raise CorruptExifError("a value lies outside of it or has an unknown type")
    return kind, count, value


def _number(block: bytes | bytearray, order: str, position: int) -> int:
    """Give the value of an entry that holds one SHORT or LONG."""
    kind, count, value = _entry(block, order, position)
    if kind not in (_SHORT, _LONG) or count != 1:
        raise CorruptExifError("a number is of an unknown kind")
    number: int = struct.unpack(order + ("H" if kind == _SHORT else "L"), value)[0]
    return number


def _set(block: bytearray, order: str, position: int, kind: int, value: int) -> None:
    """Make the entry at `position` hold one SHORT or LONG."""
    struct.pack_into(order + ("HLHxx" if kind == _SHORT else "HLL"), block, position + 2, kind, 1, value)


def _drop_thumbnail(block: bytearray, order: str, next_position: int) -> None:
    """Unlink the second directory and blank the JPEG it points at; cut it off where it ends the block."""
    (second,) = struct.unpack_from(order + "L", block, next_position)
    struct.pack_into(order + "L", block, next_position, 0)
    if second == 0:
        return
    try:
        entries, end = _directory(block, order, second)
        start = _number(block, order, entries[_THUMBNAIL_OFFSET])
        stop = start + _number(block, order, entries[_THUMBNAIL_LENGTH])
    except (CorruptExifError, KeyError):
        return
    if end <= start < stop <= len(block):
        block[start:stop] = bytes(stop - start)
        if stop == len(block):
            del block[start:]


def _append_value(target: bytearray, order: str, tag: int, kind: int, count: int, value: bytes) -> bytes:
    """Append a value that does not fit into its entry; give the 12 bytes of the entry."""
    inline = value.ljust(4, b"\0")
    if len(value) > 4:
        target += bytes(len(target) % 2)
        inline = struct.pack(order + "L", len(target))
        target += value
    return struct.pack(order + "HHL", tag, kind, count) + inline


def _append_directory(target: bytearray, order: str, entries: dict[int, bytes], following: int) -> int:
    """Append a directory of 12-byte entries, sorted by tag; give its offset."""
    target += bytes(len(target) % 2)
    offset = len(target)
    target += struct.pack(order + "H", len(entries))
    target += b"".join(entries[tag] for tag in sorted(entries))
    target += struct.pack(order + "L", following)
    return offset


def _append_first_directory(target: bytearray, order: str, entries: dict[int, bytes], following: int) -> None:
    offset = _append_directory(target, order, entries, following)
    struct.pack_into(order + "L", target, 4, offset)


def _copy_directory(
    source: bytes, order: str, offset: int, target: bytearray, parent: int = _FIRST_DIRECTORY
) -> dict[int, bytes]:
    """Append the values and inner directories of a directory to the little-endian `target`; give the entries.

    `parent`: the tag that pointed at the directory. What cannot be read is left out.
    """
    found, _ = _directory(source, order, offset)
    copied: dict[int, bytes] = {}
    room = len(source)  # overlapping values could otherwise grow without bound
    for tag, position in found.items():
        if parent == _FIRST_DIRECTORY and tag not in _DESCRIPTIVE:
            continue
        try:
            if tag in _CHILDREN[parent]:
                children = _copy_directory(source, order, _number(source, order, position), target, tag)
                kind, count, value = _LONG, 1, struct.pack("<L", _append_directory(target, "<", children, 0))
            elif tag in _CHILDREN:
                raise CorruptExifError("the directory does not belong here")
            else:
                kind, count, value = _entry(source, order, position)
                value = _little_endian(value, order, kind)
            room -= len(value)
            if room < 0:
                raise CorruptExifError("its values overlap")
            copied[tag] = _append_value(target, "<", tag, kind, count, value)
        except CorruptExifError as error:
            _log.info("EXIF tag %#06x is left out: %s", tag, error)
    return copied


def _little_endian(value: bytes, order: str, kind: int) -> bytes:
    unit = _TYPES[kind][1]
    if order == "<" or unit == 1:
        return value
    return b"".join(value[start : start + unit][::-1] for start in range(0, len(value), unit))
