"""Facts about a JPEG 2000 file that Pillow does not report: depth, sign and colour profile."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["CODESTREAM", "SIGNATURE", "Facts", "boxes", "facts_of", "is_whole", "segments"]

SIGNATURE = b"\0\0\0\x0cjP  "
CODESTREAM = b"\xff\x4f\xff\x51"

_GRID = struct.Struct(">8L")
_GRID_START = 8
"""Offset in a codestream of the sizes and offsets of the picture and of its tiles, in bytes."""
_COMPONENTS = 40
"""Offset of the number of components, in bytes; 3 bytes for each component follow."""

_PROFILE = 2  # the method of a colour box with an ICC profile
_TILE_PART, _END = 0xFF90, 0xFFD9


@dataclass(frozen=True)
class Facts:
    """Facts about a file.

    Attributes:
        bits: largest number of bits of a component.
        signed: whether a component has negative numbers.
        tiles: number of tiles.
        profile: the ICC profile; None if there is none.
    """

    bits: int
    signed: bool
    tiles: int
    profile: bytes | None


def facts_of(file: BinaryIO) -> Facts:
    """Read the facts of a JP2 file or a bare codestream.

    Raises `struct.error` or `ValueError` if it is damaged or truncated.
    """
    start, _, header = _places(file)
    file.seek(start + _GRID_START)
    right, bottom, _, _, width, height, left, top = _GRID.unpack(file.read(_GRID.size))
    if not (width and height and left < right and top < bottom):
        raise ValueError("its picture or tile size is invalid")
    file.seek(start + _COMPONENTS)
    (count,) = struct.unpack(">H", file.read(2))
    depths = file.read(3 * count)[::3]
    if len(depths) < max(count, 1):
        raise ValueError("the components are cut off")
    return Facts(
        max((depth & 0x7F) + 1 for depth in depths),
        any(depth & 0x80 for depth in depths),
        -(-(right - left) // width) * -(-(bottom - top) // height),
        _profile(file, *header) if header else None,
    )


def is_whole(file: BinaryIO) -> bool:
    """Whether all tiles are present; decoders show missing tiles as black.

    Raises as in `facts_of`.
    """
    return len(set(segments(file)) - {None}) == facts_of(file).tiles


def segments(file: BinaryIO) -> Iterator[int | None]:
    """Yield the tile's number for each tile part in the codestream, and None for all other segments.

    Raises as in `facts_of`.
    """
    position, end, _ = _places(file)
    position += 2
    while position + 4 <= end:
        file.seek(position)
        marker, length = struct.unpack(">HH", file.read(4))
        if marker == _END:
            return
        length += 2
        tile = None
        if marker == _TILE_PART:
            tile, length = struct.unpack(">HL", file.read(6))
            length = length or end - position
            if not 12 <= length <= end - position:
                return
        yield tile
        position += length


def _places(file: BinaryIO) -> tuple[int, int, tuple[int, int] | None]:
    """Return start and end of the codestream, and of the header box's content."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(CODESTREAM)) == CODESTREAM:
        return 0, end, None
    header = None
    for kind, first, last in boxes(file, 0, end):
        if kind == b"jp2h":
            header = first, last
        if kind == b"jp2c" and header:
            return first, last, header
    raise ValueError("a box is cut off or missing")


def _profile(file: BinaryIO, first: int, last: int) -> bytes | None:
    for kind, start, end in boxes(file, first, last):
        if kind == b"colr":
            file.seek(start)
            content = file.read(end - start)
            if content[:1] == bytes([_PROFILE]):
                return content[3:]
    return None


def boxes(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the content of each box."""
    while position + 8 <= end:
        file.seek(position)
        length, kind = struct.unpack(">L4s", file.read(8))
        first = position + 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            first += 8
        last = end if length == 0 else position + length
        if not first <= last <= end:
            return  # truncated or damaged
        yield kind, first, last
        position = last
