r"""How a TIFF file is built: directories of tagged values, in either byte order, classic or BigTIFF.

A file begins with `II` or `MM` (little- or big-endian), 42 (classic) or 43 (BigTIFF, then 8 and 0), and the
offset of the first directory. A directory is a count, an entry per tag (tag, type, number of values, the
values or, where they do not fit, their offset), and the offset of the next directory. Offsets count from the
first byte; classic ones have 4 bytes and BigTIFF's 8.
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
    """The directories cannot be followed."""


@dataclass(frozen=True)
class Layout:
    """How numbers are stored: `order` as `struct` spells it (`<` or `>`), and BigTIFF or not."""

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
        """Bytes of values that an entry holds itself."""
        return 8 if self.big else 4

    @property
    def offset_type(self) -> int:
        """Type of an entry that holds offsets."""
        return _LONG8 if self.big else LONG

    def start(self, first: int) -> bytes:
        """Give the first bytes of a file, with the offset of its first directory."""
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
    """Give the layout, and the offset of the first directory. Raises CorruptTagsError."""
    layout = _LAYOUTS.get(bytes(data[:4]))
    if layout is None or len(data) < 16:  # the shortest that has a tag has more
        raise CorruptTagsError("it does not begin as EXIF and TIFF do")
    return layout, struct.unpack_from(layout.offset, data, 8 if layout.big else 4)[0]


def directory(
    data: bytes | bytearray, layout: Layout, offset: int, *, whole: bool = True
) -> tuple[dict[int, int], int]:
    """Give where the entry of each tag lies, and where the offset of the next directory would lie.

    As in lenient readers, that offset need not be there, see `following`. `whole`: all entries must be; else
    those that are there are taken. Raises CorruptTagsError.
    """
    size = struct.calcsize(layout.entry) + layout.inline
    start = offset + struct.calcsize(layout.count)
    if start > len(data):
        raise CorruptTagsError("a directory lies outside of it")
    (count,) = struct.unpack_from(layout.count, data, offset)
    there = min(count, (len(data) - start) // size)
    if there < (count if whole else min(count, 1)):
        raise CorruptTagsError("a directory lies outside of it")
    end = start + size * there
    entries: dict[int, int] = {}
    for position in range(start, end, size):
        entries.setdefault(struct.unpack_from(layout.order + "H", data, position)[0], position)
    return entries, end


def following(data: bytes | bytearray, layout: Layout, end: int) -> int:
    """Give the offset of the next directory, which stands at `end`; 0 if there is none."""
    if end + struct.calcsize(layout.offset) > len(data):
        return 0
    return int(struct.unpack_from(layout.offset, data, end)[0])


def entry(data: bytes | bytearray, layout: Layout, position: int) -> tuple[int, int, bytes]:
    """Give type, count and the bytes of the values of the entry at `position`."""
    _, kind, count = struct.unpack_from(layout.entry, data, position)
    size = _TYPES.get(kind, (0, 0))[0] * count
    start = position + struct.calcsize(layout.entry)
    if size > layout.inline:
        (start,) = struct.unpack_from(layout.offset, data, start)
    value = bytes(data[start : start + size])
    if kind not in _TYPES or len(value) != size:
        raise CorruptTagsError("a value lies outside of it or has an unknown type")
    return kind, count, value


def value_size(data: bytes | bytearray, layout: Layout, position: int) -> int:
    """Give how many bytes the values of the entry at `position` take, without reading them."""
    _, kind, count = struct.unpack_from(layout.entry, data, position)
    return _TYPES.get(kind, (0, 0))[0] * int(count)


def numbers(data: bytes | bytearray, layout: Layout, position: int) -> tuple[int, ...]:
    """Give the values of an entry that holds whole numbers."""
    kind, count, value = entry(data, layout, position)
    if kind not in _NUMBERS:
        raise CorruptTagsError("a number is of an unknown kind")
    return struct.unpack(f"{layout.order}{count}{_NUMBERS[kind]}", value)


def number(data: bytes | bytearray, layout: Layout, position: int) -> int:
    """Give the value of an entry that holds one whole number."""
    found = numbers(data, layout, position)
    if len(found) != 1:
        raise CorruptTagsError("a number is of an unknown kind")
    return found[0]


def number_format(kind: int) -> str | None:
    """Give the `struct` format of a type of whole numbers; None for another type."""
    return {**_NUMBERS, **_OTHER_NUMBERS}.get(kind)


def first_number(data: bytes | bytearray, layout: Layout, position: int) -> int:
    """Give the first value of an entry of whole numbers of any type, as lenient readers do."""
    kind, _, value = entry(data, layout, position)
    form = number_format(kind)
    if form is None or not value:
        raise CorruptTagsError("a number is of an unknown kind")
    return int(struct.unpack_from(layout.order + form, value)[0])


def raw_values(data: bytes, tags: tuple[int, ...]) -> list[bytes]:
    """Give the bytes of the values of tags of the first directory, empty for one that is not there."""
    layout, first = header(data)
    entries, _ = directory(data, layout, first)
    return [entry(data, layout, entries[tag])[2] if tag in entries else b"" for tag in tags]


def values(kind: int, *items: int) -> tuple[int, int, bytes]:
    """Give type, count and little-endian bytes of whole numbers."""
    return kind, len(items), struct.pack(f"<{len(items)}{_NUMBERS[kind]}", *items)


def little_endian(value: bytes, order: str, kind: int) -> bytes:
    """Give the bytes of values of a type in little-endian order."""
    unit = _TYPES[kind][1]
    if order == "<" or unit == 1:
        return value
    return b"".join(value[start : start + unit][::-1] for start in range(0, len(value), unit))


def placed_entry(
    layout: Layout, tag: int, value: tuple[int, int, bytes], append: Callable[[bytes], int]
) -> bytes:
    """Give the bytes of an entry of type, count and bytes of values.

    `append`: puts values that do not fit into it elsewhere and gives their offset.
    """
    kind, count, data = value
    inline = data if len(data) <= layout.inline else struct.pack(layout.offset, append(data))
    return struct.pack(layout.entry, tag, kind, count) + inline.ljust(layout.inline, b"\0")


def pack_directory(layout: Layout, entries: Mapping[int, bytes], following: int = 0) -> bytes:
    """Give the bytes of a directory of packed entries, sorted by tag."""
    body = b"".join(entries[tag] for tag in sorted(entries))
    return struct.pack(layout.count, len(entries)) + body + struct.pack(layout.offset, following)
