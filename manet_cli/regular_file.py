"""Bounded reading of regular files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_regular", "read_regular", "read_stream"]

_BLOCK = 1 << 20
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # Windows has no FIFOs in folders


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """Open a regular file for reading; never wait for a FIFO or read a device.

    Args:
        path: the file.
        most: largest size in bytes, holes of a sparse file included; None for no limit.

    Raises:
        OSError: the file cannot be opened, is not regular or is too large; `strerror` says which.
    """
    file = open(path, "rb", opener=_opened)  # noqa: SIM115 - Path.open takes no opener
    try:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise _too_large(most)
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes.

    Raises:
        OSError: as in `open_regular`.
    """
    with open_regular(path, most) as file:
        return read_stream(file, most)


def read_stream(stream: BinaryIO, most: int) -> bytes:
    """Return the content of a stream.

    Raises:
        OSError: the stream cannot be read, or has more than `most` bytes; `strerror` says which.
    """
    blocks, size = [], 0
    while block := stream.read(_BLOCK):
        size += len(block)
        if size > most:
            raise _too_large(most)
        blocks.append(block)
    return b"".join(blocks)


def _opened(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | _NO_WAIT, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    return descriptor


def _too_large(most: int) -> OSError:
    shown = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most >> 10} KiB"
    return OSError(errno.EINVAL, f"it has more than {shown}")
