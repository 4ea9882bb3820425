"""Camera raw files, decoded with LibRaw (rawpy, the extra `raw`).

Pillow would read the preview of many such files, so they are detected first.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from manet_cli.errors import InputError
from manet_cli.images import exif, headers, profiles, tiff_pictures
from manet_cli.images.formats import has_raw_suffix
from manet_cli.images.photo import Header, Metadata, Photo
from manet_cli.stopping import end_if_stopped

__all__ = ["RawPicture", "begins_as_raw", "claimed_pixels", "is_raw", "open_raw"]

_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"\0MRM", b"FOVb")
_CANON_OLD = b"HEAPCCDR"  # starts at the seventh byte
_CANON_NEW = b"ftypcrx "  # starts at the fifth byte
_SRGB_CURVE = (2.4, 12.92)
_QUARTER_TURNS = (5, 6)  # LibRaw's flips by 90 degrees


def is_raw(file: BinaryIO, name: str) -> bool:
    """Whether a file is a camera raw file, by its content or, for a TIFF, by its suffix."""
    file.seek(0)
    if begins_as_raw(file.read(16)):
        return True
    if headers.kind_of(file) != "TIFF":
        return False
    if has_raw_suffix(Path(name)):
        return True
    try:
        return tiff_pictures.examine(file).is_raw
    except tiff_pictures.CorruptTagsError:
        return False


def begins_as_raw(start: bytes) -> bool:
    """Whether these first 16 bytes belong to a camera raw file that is not a TIFF."""
    return start.startswith(_STARTS) or start[6:14] == _CANON_OLD or start[4:12] == _CANON_NEW


def claimed_pixels(file: BinaryIO) -> int | None:
    """Return the number of pixels of all pictures in a TIFF-based raw file; None if it cannot be parsed."""
    try:
        return tiff_pictures.examine(file).pixels
    except tiff_pictures.CorruptTagsError:
        return None


@dataclass(frozen=True)
class RawPicture:
    """A raw file opened by LibRaw. `header`: header of the decoded photo."""

    header: Header
    _file: BinaryIO
    _name: str
    _opened: Any

    def decode(self) -> Photo:
        """Decode the file to 16 bits with the camera's white balance, in sRGB, upright. Raises InputError."""
        rawpy = importlib.import_module("rawpy")
        with _reported(self._name):
            pixels = self._opened.postprocess(
                use_camera_wb=True, output_bps=16, output_color=rawpy.ColorSpace.sRGB, gamma=_SRGB_CURVE
            )
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint16:
            raise InputError(f"{self._name} is from an unusual sensor: develop it in a raw converter")
        size = (pixels.shape[1], pixels.shape[0])
        metadata = Metadata(exif=_exif(self._file), icc_profile=profiles.srgb(), size=size)
        return Photo(np.ascontiguousarray(pixels), None, metadata)


@contextmanager
def open_raw(file: BinaryIO, name: str) -> Iterator[RawPicture]:
    """Open a raw file while the block runs.

    Args:
        file: the raw file.
        name: name of the file in messages.

    Raises:
        InputError: the extra is not installed, the file is damaged, or the camera is unknown.
    """
    try:
        rawpy = importlib.import_module("rawpy")
    except (ImportError, OSError) as error:
        raise InputError(
            f"{name} is a camera raw file, which needs an extra: pip install 'manet-cli[raw]', "
            "or develop it to TIFF or PNG in a raw converter"
        ) from error
    with _reported(name):
        if headers.kind_of(file) == "TIFF" and not tiff_pictures.examine(file).is_whole:
            raise InputError(f"{name} is cut off before its end: copy it again")
        opened = rawpy.imread(io.BytesIO(headers.content_of(file)))
    with opened:
        sizes = opened.sizes
        sides = (int(sizes.iwidth), int(sizes.iheight))
        width, height = reversed(sides) if sizes.flip in _QUARTER_TURNS else sides
        yield RawPicture(Header(width, height, 3, has_alpha=False, bits=16), file, name, opened)


@contextmanager
def _reported(name: str) -> Iterator[None]:
    """Turn LibRaw's errors into an InputError."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        end_if_stopped()
        reason = error.args[0] if error.args else ""
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InputError(
            f"{name} is a camera raw file that cannot be decoded ({reason or 'no reason given'}): "
            "copy it again, or develop it in a raw converter"
        ) from error


def _exif(file: BinaryIO) -> bytes | None:
    """Return the EXIF of a TIFF-based raw file; None if it is missing or unreadable."""
    try:
        block = exif.from_tiff(headers.content_of(file))
        return None if block is None else exif.cleaned(block)
    except exif.CorruptTagsError:
        return None
