"""Header of a JPEG XL file; the Pillow plugin reports these facts only after decoding, or never."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["CorruptJxlError", "JxlHeader", "box", "header"]

_CODESTREAM = b"\xff\x0a"
_HEADER_BYTES = 64
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_SIZES = ((9, 1), (13, 1), (18, 1), (30, 1))
_PREVIEW_SIZES = ((6, 1), (8, 65), (10, 321), (12, 1345))
_PREVIEW_EIGHTHS = ((0, 16), (0, 32), (5, 1), (9, 33))
_DEPTHS = ((0, 8), (0, 10), (0, 12), (6, 1))
_FLOAT_DEPTHS = ((0, 32), (0, 16), (0, 24), (6, 1))


class CorruptJxlError(ValueError):
    """The header cannot be parsed."""


@dataclass(frozen=True)
class JxlHeader:
    """Size in pixels (before rotation), bits per channel, whether they are floats, whether it is animated."""

    width: int
    height: int
    bits: int
    is_float: bool
    is_animated: bool


def header(file: BinaryIO) -> JxlHeader:
    """Read the header of a file, bare or in boxes. Raises CorruptJxlError."""
    file.seek(0)
    start = file.read(_HEADER_BYTES)
    if not start.startswith(_CODESTREAM):
        start = box(file, b"jxlc", _HEADER_BYTES) or (box(file, b"jxlp", _HEADER_BYTES) or b"")[4:]
    if not start.startswith(_CODESTREAM):
        raise CorruptJxlError("it contains no picture")
    bits = _Bits(start[2:])
    width, height = _size(bits)
    if bits.take(1):  # all other fields have their defaults
        return JxlHeader(width, height, 8, is_float=False, is_animated=False)
    is_animated = False
    if bits.take(1):
        bits.take(3)  # orientation, which the decoder applies
        if bits.take(1):
            _size(bits)  # intrinsic size for display
        if bits.take(1):
            _skip_preview(bits)
        is_animated = bool(bits.take(1))
    if is_animated:  # timing
        return JxlHeader(width, height, 8, is_float=False, is_animated=True)
    is_float = bool(bits.take(1))
    depth = bits.choose(_FLOAT_DEPTHS if is_float else _DEPTHS)
    return JxlHeader(width, height, depth, is_float, is_animated=False)


def box(file: BinaryIO, kind: bytes, longest: int | None = None) -> bytes | None:
    """Return the content of the first box of a kind, or its first `longest` bytes; None if there is none."""
    for found, start, length in _boxes(file):
        if found == kind:
            file.seek(start)
            return file.read(length if longest is None else min(length, longest))
    return None


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and length of the content of each box."""
    end = file.seek(0, os.SEEK_END)
    position = 0
    while position + 8 <= end:
        file.seek(position)
        length, kind = struct.unpack(">L4s", file.read(8))
        start = position + 8
        if length == 1:
            start += 8
            length = int.from_bytes(file.read(8), "big")
        stop = end if length == 0 else position + length
        if not start <= stop <= end:
            return
        yield kind, start, stop - start
        position = stop


class _Bits:
    """Reads numbers of any width, lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, width: int) -> int:
        self._left -= width
        if self._left < 0:
            raise CorruptJxlError("it is cut off")
        number = self._value & ((1 << width) - 1)
        self._value >>= width
        return number

    def choose(self, choices: tuple[tuple[int, int], ...]) -> int:
        """Take a number; two bits choose its width and offset."""
        width, offset = choices[self.take(2)]
        return self.take(width) + offset


def _size(bits: _Bits) -> tuple[int, int]:
    eighths = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if eighths else bits.choose(_SIZES)

    height = side()
    ratio = bits.take(3)
    if ratio == 0:
        return side(), height
    across, down = _RATIOS[ratio]
    return height * across // down, height


def _skip_preview(bits: _Bits) -> None:
    sizes = _PREVIEW_EIGHTHS if bits.take(1) else _PREVIEW_SIZES
    bits.choose(sizes)
    if bits.take(3) == 0:
        bits.choose(sizes)
