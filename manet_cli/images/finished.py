"""Existing results: their record, their size, and whether they are complete.

No pixels are decoded: the structure is enough to detect a truncated file, so a thousand files take little
time.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from manet_cli.errors import InputError
from manet_cli.images import exif, headers, tiff_structure
from manet_cli.images.files import open_source
from manet_cli.images.metadata import raw_exif
from manet_cli.images.reading import open_image
from manet_cli.images.tiff_writer import early_record
from manet_cli.images.writing import record_in
from manet_cli.stopping import end_if_stopped

__all__ = ["Finished", "read_finished"]

_log = logging.getLogger(__name__)

_HEAD = 4 << 20  # bytes of an incomplete file to search for the record
_MOST_BLOCKS = 16
_EXIF_START = re.compile(rb"II\*\0|MM\0\*")
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"
_SEARCHED_AT_ONCE = 1 << 20
_MAKE, _MODEL = 271, 272
_STRIP_OFFSETS, _STRIP_BYTE_COUNTS = 273, 279


@dataclass(frozen=True)
class Finished:
    """Facts about a file, read without decoding.

    Attributes:
        record: record of the run that wrote it; None for none.
        size: width and height in pixels; None if the file is cut off before them.
        whole: whether it is complete.
        camera: maker or model of the camera in its EXIF; None for none.
    """

    record: str | None
    size: tuple[int, int] | None
    whole: bool
    camera: str | None = None


def read_finished(path: Path) -> Finished | None:
    """Read the facts of a file that `write_photo` may have written; None if it cannot be read."""
    try:
        with open_image(path, path.name, max_pixels=None) as (image, file):
            return Finished(record_in(image), image.size, _is_whole(image, file), _camera(image, file))
    except Exception:  # noqa: BLE001 - a file that is not ours may fail in any way
        end_if_stopped()
        _log.debug("%s is not a readable result", path.name, exc_info=True)
    try:
        with open_source(path, path.name, max_pixels=None) as file:
            return _read_beginning(file)
    except (InputError, OSError):
        return None


def _read_beginning(file: BinaryIO) -> Finished | None:
    """Read the facts of a file that is cut off too early to be opened; None for any other file."""
    kind, size = headers.kind_of(file), file.seek(0, os.SEEK_END)
    checks = {
        "JPEG": _jpeg_is_whole,
        "WebP": _webp_is_whole,
        "TIFF": _tiff_is_whole,
        "AVIF": _boxes_are_whole,
    }
    try:
        if kind not in checks or checks[kind](file, size):
            return None
    except (struct.error, tiff_structure.CorruptTagsError):  # not even the structure is there
        pass
    file.seek(0)
    head = file.read(_HEAD)
    if kind == "TIFF":
        return Finished(early_record(head), None, whole=False)
    for found in itertools.islice(_EXIF_START.finditer(head), _MOST_BLOCKS):
        with suppress(tiff_structure.CorruptTagsError):
            if (record := exif.history(exif.cleaned(head[found.start() :]))) is not None:
                return Finished(record, None, whole=False)
    return None


def _camera(image: Image.Image, file: BinaryIO) -> str | None:
    """Return the model of the camera in an opened picture's EXIF, or its maker; None for neither."""
    tags: Mapping[int, object]
    if isinstance(image, TiffImageFile):
        tags = image.tag_v2
    else:
        tags = block = Image.Exif()
        block.load(raw_exif(image, file) or b"")
    named = (str(tags.get(tag) or "").strip(" \0") for tag in (_MODEL, _MAKE))
    return next(filter(None, named), None)


def _is_whole(image: Image.Image, file: BinaryIO) -> bool:
    """Whether a file is complete; True for formats without records."""
    size = file.seek(0, os.SEEK_END)
    try:
        if image.format == "PNG":
            return headers.png_is_whole(file)
        if image.format == "JPEG":
            return _jpeg_is_whole(file, size)
        if image.format == "WEBP":
            return _webp_is_whole(file, size)
        if image.format == "TIFF":
            tags = getattr(image, "tag_v2", {})
            strips = zip(tags.get(_STRIP_OFFSETS, ()), tags.get(_STRIP_BYTE_COUNTS, ()), strict=False)
            within = all(offset + length <= size for offset, length in strips)
            return _tiff_is_whole(file, size) and within
        if image.format == "AVIF":
            return _boxes_are_whole(file, size)
    except (struct.error, tiff_structure.CorruptTagsError):
        return False
    return True


def _jpeg_is_whole(file: BinaryIO, size: int) -> bool:
    """Whether an end-of-image marker follows a scan; its two bytes cannot occur inside a scan."""
    position, kind = 2, 0
    while kind != _JPEG_SCAN:
        file.seek(position)
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF:
            return False
        position += 2 + length
    file.seek(max(size - 2, position))
    if file.read(2) == _JPEG_END:
        return True
    file.seek(position)
    last = b""
    while block := file.read(_SEARCHED_AT_ONCE):
        if _JPEG_END in last + block:
            return True
        last = block[-1:]
    return False


def _webp_is_whole(file: BinaryIO, size: int) -> bool:
    """Whether the file is as long as its header says."""
    file.seek(4)
    return 8 + int.from_bytes(file.read(4), "little") <= size


def _tiff_is_whole(file: BinaryIO, size: int) -> bool:
    """Whether the first directory is present; our files have it at their end."""
    file.seek(0)
    layout, first = tiff_structure.header(file.read(16))
    if first >= size:
        return False
    file.seek(first)
    (count,) = struct.unpack(layout.count, file.read(struct.calcsize(layout.count)))
    entry = struct.calcsize(layout.entry) + layout.inline
    end = file.tell() + int(count) * entry + struct.calcsize(layout.offset)
    return bool(count) and end <= size


def _boxes_are_whole(file: BinaryIO, size: int) -> bool:
    """Whether all boxes of a file of the ISO base media format, such as AVIF, end inside the file."""
    position = 0
    while position < size:
        file.seek(position)
        length, _ = struct.unpack(">L4s", file.read(8))
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        elif length == 0:  # to the end of the file
            return True
        if length < 8:
            return False
        position += length
    return position == size
