"""Read the content of a picture's file or of standard input, checked by its first bytes."""

from __future__ import annotations

import io
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from manet_cli.errors import InputError
from manet_cli.images import files, headers, raw_files, reading
from manet_cli.images.formats import FORMATS

__all__ = ["read_content"]

_START = 256  # bytes that identify the format
_AT_ONCE = 1 << 20
_MOST_STREAMED = 512 << 20


def read_content(path: Path | None, name: str, max_pixels: int = files.MAX_PIXELS) -> bytes:
    """Read the content of a picture's file, or standard input for no path.

    Args:
        path: the file.
        name: name of the file in messages.
        max_pixels: limit of the picture. Three inputs raise an error: a file larger than any such picture, a
            file larger than the picture that it claims, and more than 512 MiB of standard input.

    Raises:
        InputError: the file is missing, not regular, empty, not a picture, too large, or cannot be read.
        OutOfMemoryError: the content does not fit in memory.
    """
    if path is None:
        if sys.stdin is None:
            raise InputError("standard input is closed: give a file")
        name = "standard input"
    try:
        with (
            files.memory_reported(name),
            nullcontext(sys.stdin.buffer)
            if path is None
            else files.open_source(path, name, max_pixels) as file,
        ):
            start = file.read(_START)
            if start and not _begins_as_picture(start):
                raise files.unknown_picture(name)
            most = files.most_bytes(max_pixels)
            if path is None:
                most = min(most, _MOST_STREAMED)
            elif os.fstat(file.fileno()).st_size > files.most_bytes(0):
                reading.check_claims(path, name, max_pixels)
            data = _read_at_most(file, start, most + 1)  # the file may grow meanwhile
    except OSError as error:
        if path is None:
            raise InputError(f"{name} cannot be read ({error.strerror or error}): give a file") from error
        raise files.unreadable(name, error) from error
    if path is None and len(data) > _MOST_STREAMED:
        raise InputError(
            f"{name} has more than {_MOST_STREAMED >> 20} MiB: save it as a file and give its name"
        )
    files.check_size(len(data), name, max_pixels)
    return data


def _begins_as_picture(start: bytes) -> bool:
    """Whether these are the first bytes of a readable picture; Pillow recognises the formats of `FORMATS`."""
    if headers.kind_of(io.BytesIO(start)) is not None or raw_files.begins_as_raw(start):
        return True
    Image.init()
    readers = (Image.OPEN.get(entry.pillow_name) for entry in FORMATS)
    return any(reader and reader[1] and reader[1](start[:16]) for reader in readers)


def _read_at_most(file: BinaryIO, start: bytes, most: int) -> bytes:
    """Read up to `most` bytes, including `start`, in blocks: a single read would allocate all the memory."""
    data = io.BytesIO()
    data.write(start)
    while data.tell() < most and (part := file.read(min(_AT_ONCE, most - data.tell()))):
        data.write(part)
    return data.getvalue()
