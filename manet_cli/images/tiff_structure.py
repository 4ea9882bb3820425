r"""Structure of a TIFF file: directories of tagged values, in either byte order, classic or BigTIFF.

A file begins with `II` or `MM` (little- or big-endian), 42 (classic) or 43 (BigTIFF, then 8 and 0), and the
offset of the first directory. A directory is a count, an entry per tag (tag, type, number of values, the
values or, if they do not fit, their offset), and the offset of the next directory. Offsets count from the
first byte; they have 4 bytes in classic files and 8 in BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = [
    "ASCII",
    "BYTE",
    "LONG",
    "RATIONAL",
    "SHORT",
    "UNDEFINED",
    "CorruptTagsError",
    "Layout",
    "directory",
    "entry",
    "first_number",
    "following",
    "header",
    "little_endian",
    "number",
    "number_format",
    "numbers",
    "pack_directory",
    "placed_entry",
    "raw_values",
    "value_size",
    "values",
]

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
_LONG8, _IFD, _IFD8 = 16, 13, 18
# type: (bytes of one value, bytes that swap together between byte orders)
_TYPES = {
    BYTE: (1, 1),
    ASCII: (1, 1),
    SHORT: (2, 2),
    LONG: (4, 4),
    RATIONAL: (8, 4),
    6: (1, 1),
    UNDEFINED: (1, 1),
    8: (2, 2),
    9: (4, 4),
    10: (8, 4),
    11: (4, 4),
    12: (8, 8),
    _IFD: (4, 4),
    _LONG8: (8, 8),
    17: (8, 8),
    _IFD8: (8, 8),
}
_NUMBERS = {SHORT: "H", LONG: "L", _IFD: "L", _LONG8: "Q", _IFD8: "Q"}
_OTHER_NUMBERS = {BYTE: "B", 6: "b", UNDEFINED: "B", 8: "h", 9: "l", 17: "q"}


class CorruptTagsError(ValueError):
    """The directories cannot be parsed."""


@dataclass(frozen=True)
class Layout:
    """Storage of numbers: `order` as in `struct` (`<` or `>`), and whether it is BigTIFF."""

    order: str = "<"
    big: bool = False

    @property
    def offset(self) -> str:
        """Format of an offset."""
        return self.order + ("Q" if self.big else "L")

    @property
    def count(self) -> str:
        """Format of the number of entries of a directory."""
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        """Format of an entry before its values."""
        return self.order + ("HHQ" if self.big else "HHL")

    @property
    def inline(self) -> int:
        """Bytes of values that fit inside an entry."""
        return 8 if self.big else 4

    @property
    def offset_type(self) -> int:
        """Type of an entry with offsets."""
        return _LONG8 if self.big else LONG

    def start(self, first: int) -> bytes:
        """Return the first bytes of a file, with the offset of its first directory."""
        mark = b"II" if self.order == "<" else b"MM"
        if self.big:
            return mark + struct.pack(self.order + "HHHQ", 43, 8, 0, first)
        return mark + struct.pack(self.order + "HL", 42, first)


_LAYOUTS = {
    b"II*\0": Layout("<"),
    b"MM\0*": Layout(">"),
    b"II+\0": Layout("<", big=True),
    b"MM\0+": Layout(">", big=True),
}


def header(data: bytes | bytearray) -> tuple[Layout, int]:
    """Return the layout, and the offset of the first directory. Raises CorruptTagsError."""
    layout = _LAYOUTS.get(bytes(data[:4]))
    if layout is None or len(data) < 16:  # a file with a tag is longer
        raise CorruptTagsError("it does not begin like EXIF or TIFF")
    return layout, struct.unpack_from(layout.offset, data, 8 if layout.big else 4)[0]


def directory(
    data: bytes | bytearray, layout: Layout, offset: int, *, whole: bool = True
) -> tuple[dict[int, int], int]:
    """Return the position of each tag's entry, and the position of the next directory's offset.

    As in lenient readers, this offset may be missing, see `following`. `whole`: whether all entries must be
    present; otherwise the present entries are returned. Raises CorruptTagsError.
    """
    size = struct.calcsize(layout.entry) + layout.inline
    start = offset + struct.calcsize(layout.count)
    if start > len(data):
        raise CorruptTagsError("a directory is outside the data")
    (count,) = struct.unpack_from(layout.count, data, offset)
    there = min(count, (len(data) - start) // size)
    if there < (count if whole else min(count, 1)):
        raise CorruptTagsError("a directory is outside the data")
    end = start + size * there
    entries: dict[int, int] = {}
    for position in range(start, end, size):
        entries.setdefault(struct.unpack_from(layout.order + "H", data, position)[0], position)
    return entries, end


def following(data: bytes | bytearray, layout: Layout, end: int) -> int:
    """Return the offset of the next directory, stored at `end`; 0 if there is none."""
    if end + struct.calcsize(layout.offset) > len(data):
        return 0
    return int(struct.unpack_from(layout.offset, data, end)[0])


def entry(data: bytes | bytearray, layout: Layout, position: int) -> tuple[int, int, bytes]:
    """Return type, count and the bytes of the values of the entry at `position`."""
    _, kind, count = struct.unpack_from(layout.entry, data, position)
    size = _TYPES.get(kind, (0, 0))[0] * count
    start = position + struct.calcsize(layout.entry)
    if size > layout.inline:
        (start,) = struct.unpack_from(layout.offset, data, start)
    value = bytes(data[start : start + size])
    if kind not in _TYPES or len(value) != size:
        raise CorruptTagsError("a value is outside the data or has an unknown type")
    return kind, count, value


def value_size(data: bytes | bytearray, layout: Layout, position: int) -> int:
    """Return the size in bytes of the values of the entry at `position`, without reading them."""
    _, kind, count = struct.unpack_from(layout.entry, data, position)
    return _TYPES.get(kind, (0, 0))[0] * int(count)


def numbers(data: bytes | bytearray, layout: Layout, position: int) -> tuple[int, ...]:
    """Return the values of an entry that holds whole numbers."""
    kind, count, value = entry(data, layout, position)
    if kind not in _NUMBERS:
        raise CorruptTagsError("a number is of an unknown kind")
    return struct.unpack(f"{layout.order}{count}{_NUMBERS[kind]}", value)


def number(data: bytes | bytearray, layout: Layout, position: int) -> int:
    """Return the value of an entry that holds one whole number."""
    found = numbers(data, layout, position)
    if len(found) != 1:
        raise CorruptTagsError("a number is of an unknown kind")
    return found[0]


def number_format(kind: int) -> str | None:
    """Return the `struct` format of a type of whole numbers; None for another type."""
    return {**_NUMBERS, **_OTHER_NUMBERS}.get(kind)


def first_number(data: bytes | bytearray, layout: Layout, position: int) -> int:
    """Return the first value of an entry of whole numbers of any type, as lenient readers do."""
    kind, _, value = entry(data, layout, position)
    form = number_format(kind)
    if form is None or not value:
        raise CorruptTagsError("a number is of an unknown kind")
    return int(struct.unpack_from(layout.order + form, value)[0])


def raw_values(data: bytes, tags: tuple[int, ...]) -> list[bytes]:
    """Return the bytes of the values of tags in the first directory; empty for a missing tag."""
    layout, first = header(data)
    entries, _ = directory(data, layout, first)
    return [entry(data, layout, entries[tag])[2] if tag in entries else b"" for tag in tags]


def values(kind: int, *items: int) -> tuple[int, int, bytes]:
    """Return type, count and little-endian bytes of whole numbers."""
    return kind, len(items), struct.pack(f"<{len(items)}{_NUMBERS[kind]}", *items)


def little_endian(value: bytes, order: str, kind: int) -> bytes:
    """Return the bytes of values of a type in little-endian order."""
    unit = _TYPES[kind][1]
    if order == "<" or unit == 1:
        return value
    return b"".join(value[start : start + unit][::-1] for start in range(0, len(value), unit))


def placed_entry(
    layout: Layout, tag: int, value: tuple[int, int, bytes], append: Callable[[bytes], int]
) -> bytes:
    """Encode an entry from type, count and the bytes of its values.

    `append`: stores values that do not fit into the entry and returns their offset.
    """
    kind, count, data = value
    inline = data if len(data) <= layout.inline else struct.pack(layout.offset, append(data))
    return struct.pack(layout.entry, tag, kind, count) + inline.ljust(layout.inline, b"\0")


def pack_directory(layout: Layout, entries: Mapping[int, bytes], following: int = 0) -> bytes:
    """Encode a directory of packed entries, sorted by tag."""
    body = b"".join(entries[tag] for tag in sorted(entries))
    return struct.pack(layout.count, len(entries)) + body + struct.pack(layout.offset, following)
