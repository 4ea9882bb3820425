"""Facts about a JPEG 2000 file that Pillow does not tell: depth, sign and colour profile."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["CODESTREAM", "SIGNATURE", "Facts", "facts_of"]

SIGNATURE = b"\0\0\0\x0cjP  "
CODESTREAM = b"\xff\x4f\xff\x51"

_COMPONENTS = 40
"""Bytes from the start of a codestream to the number of its components; 3 bytes for each follow."""

_PROFILE = 2  # the method of a colour box that holds an ICC profile


@dataclass(frozen=True)
class Facts:
    """What a file says of itself.

    Attributes:
        bits: the most of any component.
        signed: a component has negative numbers.
        profile: the ICC profile; None if there is none.
    """

    bits: int
    signed: bool
    profile: bytes | None


def facts_of(file: BinaryIO) -> Facts:
    """Read the facts of a JP2 file or a bare codestream.

    Raises `struct.error` or `ValueError` if it is damaged or cut off.
    """
    file.seek(0)
    profile = None
    start = 0
    if file.read(len(CODESTREAM)) != CODESTREAM:
        end = file.seek(0, os.SEEK_END)
        for kind, first, last in _boxes(file, 0, end):
            if kind == b"jp2h":
                profile = _profile(file, first, last)
            if kind == b"jp2c":
                start = first
                break
        else:
            raise ValueError("there is no codestream")
    file.seek(start + _COMPONENTS)
    (count,) = struct.unpack(">H", file.read(2))
    depths = file.read(3 * count)[::3]
    if len(depths) < max(count, 1):
        raise ValueError("the components are cut off")
    return Facts(max((depth & 0x7F) + 1 for depth in depths), any(depth & 0x80 for depth in depths), profile)


def _profile(file: BinaryIO, first: int, last: int) -> bytes | None:
    for kind, start, end in _boxes(file, first, last):
        if kind == b"colr":
            file.seek(start)
            content = file.read(end - start)
            if content[:1] == bytes([_PROFILE]):
                return content[3:]
    return None


def _boxes(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each box, where its content starts and where it ends."""
    while position + 8 <= end:
        file.seek(position)
        length, kind = struct.unpack(">L4s", file.read(8))
        first = position + 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            first += 8
        last = end if length == 0 else position + length
        if not first <= last <= end:
            return  # cut off, or damaged
        yield kind, first, last
        position = last
