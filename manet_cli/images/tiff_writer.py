"""TIFF files written from the top down, a band of rows at a time: deflated strips, classic or BigTIFF."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from manet_cli.images import exif
from manet_cli.images.tiff_structure import (
    LONG,
    RATIONAL,
    SHORT,
    CorruptTagsError,
    Layout,
    header,
    pack_directory,
    placed_entry,
    values,
)

__all__ = ["TiffWriter", "early_record"]

# Above this size a file may exceed the 32-bit offsets of a classic TIFF, so it becomes a BigTIFF.
_CLASSIC_BYTES = 4_000_000_000
_STRIP_BYTES = 1 << 19
_LEVEL = 4  # on an enlarged photo level 6 takes four times as long and saves 12 %
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _CHANNELS, _ROWS_PER_STRIP, _STRIP_BYTE_COUNTS = 273, 277, 278, 279
_X_RESOLUTION, _Y_RESOLUTION, _PLANAR, _RESOLUTION_UNIT = 282, 283, 284, 296
_PREDICTOR, _EXTRA_SAMPLES = 317, 338
_DEFLATE, _DIFFERENCES, _CHUNKY, _STRAIGHT_ALPHA, _INCH = 8, 2, 1, 2, 2
_GREY, _RGB = 1, 2
_RESOLUTION_DENOMINATOR = 10_000  # two decimals for cm, two more for inches


def early_record(head: bytes) -> str | None:
    """Return the text at the place where `TiffWriter` writes its first tag; None if there is none."""
    try:
        layout, _ = header(head)
    except CorruptTagsError:
        return None
    text, end, _ = head[len(layout.start(0)) :].partition(b"\0")
    return text.decode("ascii") if end and text and text.isascii() else None


class TiffWriter:
    """Writes a picture into an open, seekable file.

    Args:
        file: output file, empty.
        width: pixels.
        height: pixels.
        channels: 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).
        bits: 8 or 16 per channel.
        dpi: dots per inch (x, y), or None.
        block: EXIF whose descriptive tags are copied into the file, or None.
        tags: type, count and little-endian values of more tags of the first directory. Their values are at
            the start of the file, and the first tag's values follow the header, see `early_record`.
    """

    def __init__(
        self,
        file: BinaryIO,
        width: int,
        height: int,
        channels: int,
        bits: int,
        dpi: tuple[float, float] | None,
        block: bytes | None,
        tags: Mapping[int, tuple[int, int, bytes]],
    ) -> None:
        self._file = file
        row = width * channels * bits // 8
        self._layout = Layout(big=row * height > _CLASSIC_BYTES)
        self._rows_per_strip = min(height, max(1, _STRIP_BYTES // row))
        self._waiting: list[npt.NDArray[np.uint8] | npt.NDArray[np.uint16]] = []
        self._offsets: list[int] = []
        self._sizes: list[int] = []
        self._block = block
        self._tags = {
            _WIDTH: values(LONG, width),
            _HEIGHT: values(LONG, height),
            _BITS: values(SHORT, *[bits] * channels),
            _COMPRESSION: values(SHORT, _DEFLATE),
            _PHOTOMETRIC: values(SHORT, _GREY if channels < 3 else _RGB),
            _CHANNELS: values(SHORT, channels),
            _ROWS_PER_STRIP: values(LONG, self._rows_per_strip),
            _PLANAR: values(SHORT, _CHUNKY),
            _PREDICTOR: values(SHORT, _DIFFERENCES),
        }
        if channels in (2, 4):
            self._tags[_EXTRA_SAMPLES] = values(SHORT, _STRAIGHT_ALPHA)
        if dpi is not None:
            for tag, value in zip((_X_RESOLUTION, _Y_RESOLUTION), dpi, strict=True):
                parts = values(LONG, round(value * _RESOLUTION_DENOMINATOR), _RESOLUTION_DENOMINATOR)
                self._tags[tag] = (RATIONAL, 1, parts[2])
            self._tags[_RESOLUTION_UNIT] = values(SHORT, _INCH)
        file.write(self._layout.start(0))
        self._placed = {
            tag: placed_entry(self._layout, tag, value, self._append) for tag, value in tags.items()
        }

    def write(self, rows: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
        """Write the next rows, (rows, width, channels)."""
        while len(rows):
            room = self._rows_per_strip - sum(map(len, self._waiting))
            self._waiting.append(rows[:room].copy())  # the caller may reuse its array
            rows = rows[room:]
            if room == len(self._waiting[-1]):
                self._put_strip()

    def finish(self) -> None:
        """Write the remaining rows and the directory."""
        if self._waiting:
            self._put_strip()
        entries = {}
        if self._block is not None:
            entries = exif.descriptive_entries(self._block, self._append, self._layout)
        offset_type = self._layout.offset_type
        self._tags[_STRIP_OFFSETS] = values(offset_type, *self._offsets)
        self._tags[_STRIP_BYTE_COUNTS] = values(offset_type, *self._sizes)
        entries |= self._placed
        for tag, value in self._tags.items():
            entries[tag] = placed_entry(self._layout, tag, value, self._append)
        first = self._append(pack_directory(self._layout, entries))
        end = self._file.tell()
        self._file.seek(0)
        self._file.write(self._layout.start(first))
        self._file.seek(end)

    def _append(self, data: bytes) -> int:
        """Append at an even offset; return the offset."""
        offset = self._file.tell()
        if offset % 2:
            offset += self._file.write(b"\0")
        self._file.write(data)
        return offset

    def _put_strip(self) -> None:
        strip = np.concatenate(self._waiting)
        self._waiting.clear()
        differences = strip.astype(strip.dtype.newbyteorder("<"))
        differences[:, 1:] -= strip[:, :-1]
        compressed = zlib.compress(differences.tobytes(), _LEVEL)
        self._offsets.append(self._append(compressed))
        self._sizes.append(len(compressed))
