"""Sinks for the rows of a picture, from the top down."""

from __future__ import annotations

import math
import os
import tempfile
from collections import deque
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from manet_cli.images.photo import Header, Metadata, Photo

__all__ = ["CollectedImage", "CollectedPhoto", "EightBitRows", "HeldRows", "RowSink"]

# Larger pictures, in bytes, are kept on the disk.
_LARGE = 256 << 20


class RowSink(Protocol):
    """Takes the rows of a picture from the top down, any number at a time."""

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows: (n, W, C) uint8 or uint16, and (n, W) alpha if the picture has it.

        The caller must not change the arrays afterwards.
        """
        ...


class CollectedPhoto:
    """Collects rows into a photo in memory.

    Args:
        header: header of the photo.
    """

    def __init__(self, header: Header) -> None:
        dtype = np.uint16 if header.bits == 16 else np.uint8
        shape = (header.height, header.width)
        self._pixels = np.empty((*shape, header.channels), dtype)
        self._alpha: npt.NDArray[Any] | None = np.empty(shape, dtype) if header.has_alpha else None
        self._filled = 0

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows."""
        rows = slice(self._filled, self._filled + len(pixels))
        self._pixels[rows] = pixels
        if self._alpha is not None and alpha is not None:
            self._alpha[rows] = alpha
        self._filled = rows.stop

    def photo(self, metadata: Metadata) -> Photo:
        """Return the photo."""
        return Photo(self._pixels, self._alpha, metadata)


class HeldRows:
    """Buffers rows, so that the sink works later; when the buffer is full, the oldest rows are passed on.

    Args:
        sink: sink for the rows.
        limit: largest size of the buffer in bytes.
    """

    def __init__(self, sink: RowSink, limit: int) -> None:
        self._sink = sink
        self._limit = limit
        self._rows: deque[tuple[npt.NDArray[Any], npt.NDArray[Any] | None]] = deque()
        self._bytes = 0

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows."""
        self._rows.append((pixels, alpha))
        self._bytes += _bytes(pixels, alpha)
        self._let_go(self._limit)

    def let_go(self) -> None:
        """Pass all buffered rows to the sink."""
        self._let_go(0)

    def _let_go(self, limit: int) -> None:
        while self._rows and self._bytes > limit:
            pixels, alpha = self._rows.popleft()
            self._bytes -= _bytes(pixels, alpha)
            self._sink.write(pixels, alpha)


class EightBitRows:
    """Rounds rows of 16 bits per channel to 8 bits.

    Args:
        sink: sink for the rows.
    """

    def __init__(self, sink: RowSink) -> None:
        self._sink = sink

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows."""
        self._sink.write(_eight_bits(pixels), None if alpha is None else _eight_bits(alpha))


def _eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _bytes(pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> int:
    return int(pixels.nbytes + (0 if alpha is None else alpha.nbytes))


class CollectedImage:
    """Collects 8-bit rows into a Pillow image, without a copy; a large image is kept in a temporary file.

    The file has no name. The system can drop its pages from memory and read them again. It removes the file
    when the process ends, even if it is killed.

    Args:
        header: header of the picture.
        folder: folder for the temporary file; None for the system's default.

    Raises OSError if the disk is full.
    """

    def __init__(self, header: Header, folder: Path | None) -> None:
        if header.channels == 1:
            self._mode = "LA" if header.has_alpha else "L"
        else:
            self._mode = "RGBA" if header.has_alpha else "RGBX"
        self._size = header.width, header.height
        self._values = _array((header.height, header.width, len(self._mode)), folder)
        self._filled = 0

    @staticmethod
    def room(header: Header) -> int:
        """Return the size of the temporary file for a picture in bytes; 0 if it needs none."""
        size = header.width * header.height * (4 if header.channels == 3 else 1 + header.has_alpha)
        return size if size > _LARGE else 0

    def write(self, pixels: npt.NDArray[Any], alpha: npt.NDArray[Any] | None) -> None:
        """Take the next rows."""
        rows = slice(self._filled, self._filled + len(pixels))
        channels = pixels.shape[2]
        self._values[rows, :, :channels] = pixels
        if self._values.shape[2] > channels:
            self._values[rows, :, channels] = 255 if alpha is None else alpha
        self._filled = rows.stop

    def image(self) -> Image.Image:
        """Return the image: L, LA, RGBX (RGB with an unused byte) or RGBA."""
        mode = self._mode
        return Image.frombuffer(mode, self._size, self._values.reshape(-1), "raw", mode, 0, 1)


def _array(shape: tuple[int, int, int], folder: Path | None) -> npt.NDArray[np.uint8]:
    size = math.prod(shape)
    if size <= _LARGE:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            # Writing to a memory map on a full disk would kill the process.
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return np.memmap(file, np.uint8, "r+", shape=shape)
