"""Open a picture's file, for all commands: regular, not empty, not too large."""

from __future__ import annotations

import difflib
import io
import itertools
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from manet_cli.errors import InputError, OutOfMemoryError, Parameter
from manet_cli.images.formats import listed, readable_titles

__all__ = [
    "MAX_PIXELS",
    "check_size",
    "known_pictures",
    "memory_reported",
    "most_bytes",
    "open_source",
    "raise_limit",
    "unknown_picture",
    "unreadable",
]

MAX_PIXELS = 200_000_000
"""Default limit of a picture in pixels: a file of a few kilobytes may claim billions of pixels. Decoding a
picture of this size takes up to 2 GB."""

_BYTES_PER_PIXEL = 8  # four channels of 16 bits, uncompressed
_BESIDE_PIXELS = 256 << 20  # metadata, a second picture, an appended video

_COMPARED_NAMES = 2000
"""Most names of a folder that are compared with a missing one, so that the message comes at once."""

raise_limit = ("make it smaller, or raise ", Parameter("max_pixels"))
"""Advice in messages about the limit."""


def open_source(source: Path | bytes, name: str, max_pixels: int | None = MAX_PIXELS) -> BinaryIO:
    """Open a picture's file, or its content.

    Args:
        source: the file, or its content.
        name: name of the file in messages.
        max_pixels: a file larger than any picture of this many pixels raises an error; None for no limit.

    Raises:
        InputError: the file is missing, not regular, empty, too large, or cannot be read.
    """
    if isinstance(source, bytes):
        check_size(len(source), name, max_pixels)
        return io.BytesIO(source)
    try:
        # Opening a FIFO for reading would wait for a writer.
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist: {_advice(source)}") from error
    except (OSError, ValueError) as error:
        if _is_folder(source):  # some systems cannot open a folder
            raise InputError(f"{name} is a folder: give {known_pictures()}") from error
        raise unreadable(name, error) from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{name} is a folder: give {known_pictures()}")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name} is not a regular file: give {known_pictures()}")
        check_size(status.st_size, name, max_pixels)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _advice(missing: Path) -> str:
    """Return what to try for a file that does not exist: a similar name in its folder, if there is one.

    A name with spaces that was given without quotes arrives in parts. Names with other numbers are not
    similar, because cameras number their files; ``IMG_001`` and ``IMG_0001`` have the same.
    """
    try:
        with os.scandir(missing.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, _COMPARED_NAMES)]
    except (OSError, ValueError):
        return "check the path"
    beginning, numbers = missing.name + " ", _numbers(missing.name)
    longer = sorted(name for name in names if name.startswith(beginning))
    folded = {name.casefold(): name for name in names if _numbers(name) == numbers}
    close = difflib.get_close_matches(missing.name.casefold(), folded, n=1, cutoff=0.75)
    similar = longer or [folded[name] for name in close]
    return f'give "{missing.with_name(similar[0])}" if you mean that' if similar else "check the path"


def _numbers(name: str) -> list[str]:
    return [digits.lstrip("0") for digits in re.findall(r"\d+", name)]


@contextmanager
def memory_reported(name: str) -> Iterator[None]:
    """Turn a MemoryError in the block into an OutOfMemoryError about the picture `name`."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{name} does not fit in memory: close other programs or cut the picture into smaller ones"
        ) from error


def most_bytes(pixels: int) -> int:
    """Return the largest size in bytes of a file with a picture of ``pixels`` pixels."""
    return _BYTES_PER_PIXEL * pixels + _BESIDE_PIXELS


def known_pictures() -> str:
    """Return the words for a readable picture in messages."""
    return f"a {listed(readable_titles())} picture"


def unknown_picture(name: str) -> InputError:
    """Return the error for a file that is not a readable picture."""
    return InputError(f"{name} is not {known_pictures()}: give a picture, or convert it to PNG")


def check_size(size: int, name: str, max_pixels: int | None) -> None:
    """Raise InputError for an empty file, or one larger than any picture of ``max_pixels`` pixels."""
    if size == 0:
        raise InputError(f"{name} is empty: give {known_pictures()}")
    if max_pixels is not None and size > most_bytes(max_pixels):
        raise InputError(
            f"{name} has {size} bytes or more, too many for a picture of at most {max_pixels} pixels: ",
            *raise_limit,
        )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def unreadable(name: str, error: OSError | ValueError) -> InputError:
    """Return the error for a file that the system cannot read."""
    reason = getattr(error, "strerror", None) or "its name is not valid"
    return InputError(f"{name} cannot be read ({reason}): check the path and its permissions")
